//! The rows of the files as the partitions of one table.

use std::pin::pin;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{DataFrame, SessionContext, cast, ident};
use futures::{StreamExt, stream};
use plugfit::{Error, Result};

use super::arguments::{Arguments, CLUSTER};
use super::control::Control;
use super::input::Source;
use super::query::{failed, failed_in, guarded, guarded_stream};
use crate::arrays;
use crate::error::from_plugfit;
use crate::poisson;

/// The name of the column with the key of each row, which doesn't depend on the partitions.
pub const KEY: &str = "key";

/// What the key of a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// There is none.
    None,
    /// The number of the row in all files. A file is read in one piece then.
    Rows,
    /// A hash of the column [`CLUSTER`].
    Clusters,
}

/// The selected columns of all files.
pub struct Selection {
    files: Vec<(Arc<str>, DataFrame)>,
    /// The columns after types have been made equal.
    pub schema: SchemaRef,
}

impl Selection {
    /// Selects the arguments of the metrics from each file.
    ///
    /// # Errors
    /// Returns an error if a file can't be read, if an expression doesn't fit it, or if the types of files differ.
    pub async fn of(sources: &[Source], arguments: &Arguments, context: &SessionContext, marks: bool) -> Result<Self> {
        let mut files = Vec::with_capacity(sources.len());
        for source in sources {
            let file = source.open(context, &arguments.floats()).await?;
            let selected = arguments.select(file, source, context, marks)?;
            for name in arguments.names() {
                check_column(&selected, &name, source).await?;
            }
            files.push((Arc::from(source.name.as_str()), selected));
        }
        let schema = common_schema(&files)?;
        for (name, file) in &mut files {
            if !file.schema().as_arrow().fields().iter().zip(schema.fields()).all(|(own, common)| own == common) {
                let columns = schema
                    .fields()
                    .iter()
                    .map(|field| Expr::alias(cast(ident(field.name()), field.data_type().clone()), field.name()));
                *file = file.clone().select(columns.collect::<Vec<_>>()).map_err(|error| failed_in(error, name))?;
            }
        }
        Ok(Selection { files, schema })
    }

    /// Returns the name of each file and its selected columns, in the order of the files.
    pub fn files(&self) -> impl Iterator<Item = (&str, &DataFrame)> {
        self.files.iter().map(|(name, file)| (&**name, file))
    }

    /// Returns the rows as a table. With keys, it has the column [`KEY`].
    ///
    /// # Errors
    /// Returns an error if a query on a file is invalid.
    pub async fn table(&self, context: &SessionContext, control: &Arc<Control>, keys: Keys) -> Result<Rows> {
        let partitions = context.state().config().target_partitions();
        let mut pieces = Vec::new();
        let mut total = Some(0_u64);
        for (number, (name, file)) in self.files.iter().enumerate() {
            let plan = guarded(name, file.clone().create_physical_plan()).await?;
            let wanted = if keys == Keys::Rows { 1 } else { partitions.div_ceil(self.files.len()) };
            let plan = partitioned(plan, wanted, context).map_err(failed)?;
            total = total.zip(rows_of(&plan)).map(|(total, rows)| total + rows);
            let count = plan.output_partitioning().partition_count();
            pieces.extend((0..count).map(|part| Piece {
                file: name.clone(),
                number: number as u64,
                plan: plan.clone(),
                part,
            }));
        }
        let fields = self.schema.fields().iter().cloned();
        let key = (keys != Keys::None).then(|| Arc::new(Field::new(KEY, DataType::UInt64, false)));
        let schema: SchemaRef = Arc::new(Schema::new(fields.chain(key).collect::<Vec<_>>()));
        let lanes = partitions.min(pieces.len()).max(1);
        let lane = |lane: usize| -> Arc<dyn PartitionStream> {
            let pieces = pieces.iter().skip(lane).step_by(lanes).cloned().collect();
            Arc::new(Lane { pieces, schema: schema.clone(), control: control.clone(), keys })
        };
        let table = StreamingTable::try_new(schema.clone(), (0..lanes).map(lane).collect()).map_err(failed)?;
        let frame = context.read_table(Arc::new(table)).map_err(failed)?;
        Ok(Rows { frame, total, partitions })
    }
}

/// Checks that a column is one of numbers.
///
/// # Errors
/// Returns an error with the first row of a text file whose value makes it a column of texts.
async fn check_column(file: &DataFrame, name: &str, source: &Source) -> Result<()> {
    let schema = file.schema().as_arrow();
    let Some(found) = schema.field_with_name(name).ok().map(|field| field.data_type()) else { return Ok(()) };
    let Err(error) = arrays::check_type(name, found) else { return Ok(()) };
    let error = error.with("in", source.name.clone());
    if !(source.is_text() && matches!(found, DataType::Utf8 | DataType::Utf8View)) {
        return Err(error);
    }
    let text = cast(ident(name), DataType::Utf8).alias(name);
    let texts = file.clone().select(vec![text]).map_err(failed)?;
    let batches = guarded(&source.name, texts.execute_stream()).await?;
    let mut batches = pin!(guarded_stream(source.name.as_str().into(), batches));
    let mut first = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let is_wrong = |(_, text): &(usize, Option<&str>)| text.is_some_and(|text| text.trim().parse::<f64>().is_err());
        let column = batch.column(0).as_string::<i32>();
        match column.iter().enumerate().find(is_wrong) {
            // A column that begins with a text is one of texts.
            Some((row, Some(text))) if first + row > 0 => {
                return Err(Error::failure(format!("{name} is \"{text}\", which isn't a number"))
                    .with("in", source.name.clone())
                    .with("row", format!("{} (from 0)", first + row)));
            }
            Some(_) => return Err(error),
            None => first += batch.num_rows(),
        }
    }
    Err(error)
}

/// The rows of all files.
pub struct Rows {
    pub frame: DataFrame,
    /// Their number, if the files tell it.
    pub total: Option<u64>,
    /// The number of partitions of the session.
    pub partitions: usize,
}

/// Splits the reading of a file into parts.
fn partitioned(
    plan: Arc<dyn ExecutionPlan>,
    partitions: usize,
    context: &SessionContext,
) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
    let state = context.state();
    let split = |node: Arc<dyn ExecutionPlan>| {
        let is_source = node.is::<DataSourceExec>();
        let is_whole = node.output_partitioning().partition_count() < partitions;
        match node.repartitioned(partitions, state.config_options())?.filter(|_| is_source && is_whole) {
            Some(split) => Ok(Transformed::yes(split)),
            None => Ok(Transformed::no(node)),
        }
    };
    match partitions {
        0 | 1 => Ok(plan),
        _ => Ok(plan.transform_up(split)?.data),
    }
}

/// Returns the exact number of rows, if it is known before they are read.
fn rows_of(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    statistics.num_rows.is_exact()?.then(|| statistics.num_rows.get_value().map(|rows| *rows as u64))?
}

/// A part of a file.
#[derive(Clone, Debug)]
struct Piece {
    file: Arc<str>,
    number: u64,
    plan: Arc<dyn ExecutionPlan>,
    part: usize,
}

/// Parts of files, one after the other.
#[derive(Debug)]
struct Lane {
    pieces: Vec<Piece>,
    schema: SchemaRef,
    control: Arc<Control>,
    keys: Keys,
}

impl PartitionStream for Lane {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, control, keys) = (self.schema.clone(), self.control.clone(), self.keys);
        let counted = control.clone();
        let batches = stream::iter(self.pieces.clone()).flat_map(move |piece| {
            let schema = schema.clone();
            let mut next = piece.number << 40;
            let batches = match piece.plan.execute(piece.part, context.clone()) {
                Ok(batches) => guarded_stream(piece.file.clone(), batches).left_stream(),
                Err(error) => stream::once(std::future::ready(Err(failed_in(error, &piece.file)))).right_stream(),
            };
            batches.map(move |batch| {
                let batch = batch.map_err(from_plugfit)?;
                let first = next;
                next += batch.num_rows() as u64;
                let key: Option<ArrayRef> = match keys {
                    Keys::None => None,
                    Keys::Rows => Some(Arc::new(UInt64Array::from_iter_values(first..next))),
                    Keys::Clusters => Some(Arc::new(cluster_keys(&batch, &piece.file)?)),
                };
                let columns = batch.columns().iter().cloned().chain(key).collect();
                Ok::<_, DataFusionError>(RecordBatch::try_new(schema.clone(), columns)?)
            })
        });
        let batches = batches
            .take_while(move |_| std::future::ready(!control.is_stopped()))
            .inspect(move |batch| counted.add(batch.as_ref().map_or(0, RecordBatch::num_rows)));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches.boxed()))
    }
}

/// Returns the keys of the rows by the column of `--ci-by`.
fn cluster_keys(batch: &RecordBatch, file: &str) -> datafusion::error::Result<UInt64Array> {
    let Some(column) = batch.column_by_name(CLUSTER) else {
        return Err(DataFusionError::Internal("the column of --ci-by is missing".into()));
    };
    if column.null_count() > 0 {
        let error = Error::usage("the column of --ci-by has a null").with("in", file);
        return Err(from_plugfit(error.hint("leave such rows out with --where")));
    }
    let texts = compute::cast(column, &DataType::Utf8)?;
    Ok(texts.as_string::<i32>().iter().map(|text| text.map(poisson::key_of)).collect())
}

/// Returns the schema to which the columns of all files are cast.
fn common_schema(files: &[(Arc<str>, DataFrame)]) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = Vec::new();
    for (at, (name, file)) in files.iter().enumerate() {
        for (place, field) in file.schema().as_arrow().fields().iter().enumerate() {
            match fields.get_mut(place) {
                None => fields.push(field.as_ref().clone()),
                Some(common) => {
                    let Some(found) = common_type(common.data_type(), field.data_type()) else {
                        let (first, _) = files.get(at.saturating_sub(1)).unwrap_or(&files[0]);
                        return Err(Error::usage(format!(
                            "{} is {} in {first} and {} in {name}",
                            field.name(),
                            common.data_type(),
                            field.data_type()
                        )));
                    };
                    *common = Field::new(common.name(), found, common.is_nullable() || field.is_nullable());
                }
            }
        }
    }
    // Casts make columns nullable, and metadata of files doesn't matter.
    let fields = fields.into_iter().map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

fn common_type(first: &DataType, second: &DataType) -> Option<DataType> {
    let is_text = |found: &DataType| matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (first, second) {
        (first, second) if first == second => Some(first.clone()),
        (DataType::Null, other) | (other, DataType::Null) => Some(other.clone()),
        (first, second) if is_text(first) && is_text(second) => Some(DataType::Utf8View),
        (first, second) if first.is_numeric() && second.is_numeric() => {
            Some(if first.is_integer() && second.is_integer() { DataType::Int64 } else { DataType::Float64 })
        }
        (DataType::Dictionary(_, value), other) | (other, DataType::Dictionary(_, value)) => common_type(value, other),
        _ => None,
    }
}
