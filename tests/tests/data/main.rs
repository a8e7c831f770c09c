//! Tests of data: the files of a run, targets and labels, and unusual inputs of losses and metrics.

mod columns;
mod edge_cases;
mod files;
mod labels;
mod metrics;
mod predictions;
mod saved_schema;
mod splits;
