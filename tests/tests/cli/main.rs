//! Tests of the program as a user runs it.

mod defaults;
mod first_run;
mod program;
mod schema;
mod schema_of_runs;
