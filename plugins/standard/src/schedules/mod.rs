//! The schedules.
