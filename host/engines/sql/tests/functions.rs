//! The functions in SQL.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{Float64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::{SessionConfig, SessionContext};
use plugfit::Host;
use plugfit_api::Tensor;
use plugfit_api::metric::Outcome;
use plugfit_api::prelude::{Config, Direction, Inputs, Metric, MetricInfo};

/// Pseudo-random numbers from 0 to 1 that are the same in every run.
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    std::iter::repeat_with(next).take(count).collect()
}

struct Data {
    group: Vec<i64>,
    label: Vec<i64>,
    score: Vec<f64>,
    weight: Vec<f64>,
}

const ROWS: usize = 5000;
const GROUPS: i64 = 7;

fn data() -> Data {
    let (a, b, c, d) = (numbers(1, ROWS), numbers(2, ROWS), numbers(3, ROWS), numbers(4, ROWS));
    Data {
        group: a.iter().map(|number| (number * GROUPS as f64) as i64).collect(),
        label: b.iter().map(|number| i64::from(*number > 0.6)).collect(),
        score: c,
        weight: d,
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// A context with the functions and the table `t`, whose rows are spread over partitions and small batches.
fn context_of(batch: &RecordBatch, partitions: usize, host: &Host) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(256);
    let context = SessionContext::new_with_config(config);
    plugfit_sql::register_all(&context, host).expect("new functions");
    let mut parts = vec![Vec::new(); partitions];
    let length = 100;
    for (at, start) in (0..batch.num_rows()).step_by(length).enumerate() {
        parts[at % partitions].push(batch.slice(start, length.min(batch.num_rows() - start)));
    }
    let schema: Arc<Schema> = batch.schema();
    context.register_table("t", Arc::new(MemTable::try_new(schema, parts).expect("a table"))).expect("a new name");
    context
}

fn table() -> RecordBatch {
    let Data { group, label, score, weight } = data();
    batch(vec![
        ("k", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("g", Arc::new(Int64Array::from(group))),
        ("y", Arc::new(Int64Array::from(label))),
        ("p", Arc::new(Float64Array::from(score))),
        ("w", Arc::new(Float64Array::from(weight))),
    ])
}

fn query(context: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    runtime.block_on(async { context.sql(sql).await?.collect().await })
}

/// The numbers of all columns, row by row.
fn rows(context: &SessionContext, sql: &str) -> Vec<Vec<f64>> {
    let batches = query(context, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let of_batch = |batch: &RecordBatch| {
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .map(|column| {
                datafusion::arrow::compute::cast(column, &datafusion::arrow::datatypes::DataType::Float64)
                    .expect("numbers")
            })
            .collect();
        let cell = |column: &ArrayRef, row: usize| match column.is_null(row) {
            true => f64::NAN,
            false => column.as_primitive::<Float64Type>().value(row),
        };
        (0..batch.num_rows())
            .map(|row| columns.iter().map(|column| cell(column, row)).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    batches.iter().flat_map(of_batch).collect()
}

fn error_of(context: &SessionContext, sql: &str) -> String {
    match query(context, sql) {
        Ok(_) => panic!("{sql} runs"),
        Err(error) => match plugfit_sql::plugfit_error(&error) {
            Some(error) => error.to_string(),
            None => panic!("{sql}: this is no error of plugfit: {error}"),
        },
    }
}

/// What the host computes of the rows of a group.
fn expected(identifier: &str, group: i64, weighted: bool) -> f64 {
    let Data { group: groups, label, score, weight } = data();
    let of_group = |row: &usize| groups[*row] == group;
    let rows: Vec<usize> = (0..ROWS).filter(of_group).collect();
    let y_true: Vec<f64> = rows.iter().map(|row| label[*row] as f64).collect();
    let y_pred: Vec<f64> = rows.iter().map(|row| score[*row]).collect();
    let weight: Vec<f64> = rows.iter().map(|row| weight[*row]).collect();
    let shape = [rows.len() as i64, 1];
    let mut metric = Host::new().metric(identifier).expect("it is there");
    let weight = weighted.then(|| Tensor::new(&weight, &shape));
    metric.update_state(Tensor::new(&y_true, &shape), Tensor::new(&y_pred, &shape), weight, None).expect("they fit");
    match metric.result().expect("a result") {
        Outcome::Scalar(number) => number,
        other => panic!("{other:?}"),
    }
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1e-300), "{what}: {found}, {expected}");
}

#[test]
fn functions_agree_with_the_host_in_every_group() {
    let context = context_of(&table(), 3, &Host::new());
    let metrics = [
        ("auc(y, p, w)", "AUC", true),
        ("auc(y, p)", "AUC", false),
        ("binary_accuracy(y, p, w)", "BinaryAccuracy", true),
        ("metric('Precision(thresholds=0.8)', y, p, w)", "Precision(thresholds=0.8)", true),
        ("mean_squared_error(y, p, w)", "MeanSquaredError", true),
        ("metric('BinaryCrossentropy', y, p)", "BinaryCrossentropy", false),
    ];
    let list = metrics.map(|(call, ..)| call).join(", ");
    let found = rows(&context, &format!("SELECT g, {list} FROM t GROUP BY g ORDER BY g"));
    assert_eq!(found.len(), GROUPS as usize);
    for row in found {
        for ((call, identifier, weighted), number) in metrics.iter().zip(&row[1..]) {
            assert_close(*number, expected(identifier, row[0] as i64, *weighted), call);
        }
    }
}

#[test]
fn the_number_of_partitions_changes_no_count_and_no_sum_beyond_rounding() {
    let (host, table) = (Host::new(), table());
    for sql in [
        "SELECT g, count(*), metric('TruePositives', y, p), metric('FalseNegatives(thresholds=0.3)', y, p), \
         auc(y, p, w), metric('F1Score(threshold=0.5, average=\"micro\")', y, p), mean_squared_error(y, p, w) \
         FROM t GROUP BY g ORDER BY g",
        "SELECT 0, count(*), metric('TruePositives', y, p), metric('FalseNegatives', y, p), auc(y, p, w), \
         binary_accuracy(y, p) FROM t",
    ] {
        let one = rows(&context_of(&table, 1, &host), sql);
        for partitions in [2, 8] {
            let several = rows(&context_of(&table, partitions, &host), sql);
            assert_eq!(several.len(), one.len());
            for (several, one) in several.iter().zip(&one) {
                assert_eq!(several[..4], one[..4], "the counts of {partitions} partitions");
                for (several, one) in several.iter().zip(one) {
                    assert_close(*several, *one, sql);
                }
            }
        }
    }
}

#[test]
fn a_filter_selects_rows() {
    let context = context_of(&table(), 2, &Host::new());
    let found = rows(
        &context,
        "SELECT g, auc(y, p) FILTER (WHERE w > 0.5), metric('TruePositives', y, p) FILTER (WHERE w > 2) \
         FROM t GROUP BY g ORDER BY g",
    );
    let where_ = rows(&context, "SELECT g, auc(y, p) FROM t WHERE w > 0.5 GROUP BY g ORDER BY g");
    for (found, expected) in found.iter().zip(&where_) {
        assert_close(found[1], expected[1], "AUC");
        assert_eq!(found[2], 0.0);
    }
    // A row that is left out may be null.
    for by in ["", " GROUP BY g ORDER BY g"] {
        let (null, without) = ("CASE WHEN w > 0.5 THEN p END", format!("SELECT auc(y, p) FROM t WHERE w > 0.5{by}"));
        let found = rows(&context, &format!("SELECT auc(y, {null}) FILTER (WHERE w > 0.5) FROM t{by}"));
        for (found, expected) in found.iter().zip(rows(&context, &without)) {
            assert_close(found[0], expected[0], "AUC");
        }
    }
}

#[test]
fn lists_may_be_null_or_of_another_length_in_rows_that_are_left_out() {
    let lists = [Some(vec![0.9, 0.1]), None, Some(vec![0.2, 0.8]), Some(vec![1.0]), Some(vec![0.3, 0.7])];
    let lists = lists.map(|list| list.map(|list| list.into_iter().map(Some).collect::<Vec<_>>())).to_vec();
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
    let table = batch(vec![
        ("y", Arc::new(Int64Array::from(vec![0, 0, 1, 1, 0]))),
        ("g", Arc::new(Int64Array::from(vec![0, 0, 1, 1, 1]))),
        ("use", Arc::new(BooleanArray::from(vec![true, false, true, false, true]))),
        ("p", lists),
    ]);
    let context = context_of(&table, 1, &Host::new());
    let call = "sparse_categorical_accuracy(y, p)";
    let found = rows(&context, &format!("SELECT g, {call} FILTER (WHERE use) FROM t GROUP BY g ORDER BY g"));
    assert_eq!(found, [[0.0, 1.0], [1.0, 0.5]]);
    let error = error_of(&context, &format!("SELECT {call} FROM t"));
    assert!(error.contains("y_pred is null in row 1"), "{error}");
    let error = error_of(&context, &format!("SELECT {call} FROM t WHERE p IS NOT NULL"));
    assert!(error.contains("lists of 2 and of 1 numbers"), "{error}");
}

#[test]
fn many_groups_are_the_same_with_and_without_partial_states() {
    let table = table();
    let context = context_of(&table, 2, &Host::new());
    // Each row is a group, so that DataFusion passes the states of single rows on.
    let sql = "SELECT k, binary_accuracy(y, p, w) FILTER (WHERE w > 0.1) FROM t GROUP BY k ORDER BY k";
    let whole = rows(&context, sql);
    for setting in ["probe_rows_threshold = 10", "probe_ratio_threshold = 0.1"] {
        query(&context, &format!("SET datafusion.execution.skip_partial_aggregation_{setting}")).expect("it is set");
    }
    let skipped = rows(&context, sql);
    assert_eq!(whole.len(), ROWS);
    assert!(format!("{whole:?}") == format!("{skipped:?}"));
}

#[test]
fn a_memory_limit_spills_the_states_of_many_groups() {
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    let table = table();
    let sql = "SELECT k % 2500 AS m, binary_accuracy(y, p, w), auc(y, p) FROM t GROUP BY m ORDER BY m";
    let unlimited = rows(&context_of(&table, 1, &Host::new()), sql);
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(12 << 20, 1.0).build_arc().expect("a limit");
    let config = SessionConfig::new().with_target_partitions(1).with_batch_size(256);
    let context = SessionContext::new_with_config_rt(config, runtime);
    plugfit_sql::register_all(&context, &Host::new()).expect("new functions");
    context.register_batch("t", table).expect("a table");
    assert!(format!("{unlimited:?}") == format!("{:?}", rows(&context, sql)));
}

#[test]
fn integers_of_every_type_and_booleans_are_labels() {
    let labels = [0_u8, 1, 1, 0, 1];
    let scores: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 0.9, 0.4, 0.3, 0.8]));
    fn of<T, A: From<Vec<T>> + datafusion::arrow::array::Array + 'static>(
        labels: &[u8],
        convert: impl Fn(u8) -> T,
    ) -> ArrayRef {
        Arc::new(A::from(labels.iter().map(|label| convert(*label)).collect()))
    }
    let columns: Vec<ArrayRef> = vec![
        of::<_, Int8Array>(&labels, |label| label as i8),
        of::<_, Int16Array>(&labels, i16::from),
        of::<_, Int32Array>(&labels, i32::from),
        of::<_, Int64Array>(&labels, i64::from),
        of::<_, UInt8Array>(&labels, |label| label),
        of::<_, UInt16Array>(&labels, u16::from),
        of::<_, UInt32Array>(&labels, u32::from),
        of::<_, UInt64Array>(&labels, u64::from),
        of::<_, BooleanArray>(&labels, |label| label == 1),
        of::<_, Float32Array>(&labels, f32::from),
    ];
    for column in columns {
        let what = column.data_type().to_string();
        let context = context_of(&batch(vec![("y", column), ("p", scores.clone())]), 1, &Host::new());
        assert_eq!(rows(&context, "SELECT binary_accuracy(y, p) FROM t"), [[0.8]], "{what}");
        // A group for each label: the rows of a group are selected.
        let found = rows(&context, "SELECT y, metric('TruePositives', y, p) FROM t GROUP BY y ORDER BY y");
        assert_eq!(found, [[0.0, 0.0], [1.0, 2.0]], "{what}");
    }
}

#[test]
fn probabilities_of_classes_are_lists_or_columns() {
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2, 1]));
    let [a, b, c] = [[0.7, 0.1, 0.2, 0.5], [0.2, 0.8, 0.3, 0.4], [0.1, 0.1, 0.5, 0.1]]
        .map(|column| Arc::new(Float64Array::from(column.to_vec())) as ArrayRef);
    let lists = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5], [0.5, 0.4, 0.1]];
    let lists =
        ListArray::from_iter_primitive::<Float64Type, _, _>(lists.map(|list| Some(list.map(Some).to_vec())).to_vec());
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z", "y"]));
    let table = batch(vec![("y", ids), ("p", Arc::new(lists)), ("a", a), ("b", b), ("c", c), ("name", names)]);
    let context = context_of(&table, 1, &Host::new());
    let label = "class_id(name, 'x', 'y', 'z')";
    let found = rows(
        &context,
        &format!(
            "SELECT sparse_categorical_accuracy(y, p), sparse_categorical_accuracy({label}, classes(a, b, c)), \
             accuracy(y, p), metric('acc', y, p), metric('SparseTopKCategoricalAccuracy(k=2)', y, p), \
             accuracy(y = 1, b), binary_accuracy(y = 1, b) FROM t"
        ),
    );
    assert_eq!(found, [[0.75, 0.75, 0.75, 0.75, 1.0, 0.75, 0.75]]);
    let found = rows(&context, "SELECT y, sparse_categorical_accuracy(y, p) FROM t GROUP BY y ORDER BY y");
    assert_eq!(found, [[0.0, 1.0], [1.0, 0.5], [2.0, 1.0]]);
    let error = error_of(&context, "SELECT sparse_categorical_accuracy(class_id(name, 'x', 'y'), p) FROM t");
    assert!(error.contains("\"z\" isn't one of the classes"), "{error}");
    let error = error_of(&context, "SELECT sparse_categorical_accuracy(name, p) FROM t");
    assert!(error.contains("y_true is a column of text") && error.contains("class_id"), "{error}");
    let error = error_of(&context, "SELECT sparse_categorical_accuracy(y + 1, p) FROM t");
    assert!(error.contains("3"), "{error}");
}

#[test]
fn metrics_of_several_numbers_are_json() {
    let context = context_of(&table(), 2, &Host::new());
    let text = |sql: &str| {
        let batches = query(&context, sql).unwrap_or_else(|error| panic!("{error}"));
        batches[0].column(0).as_string::<i32>().value(0).to_owned()
    };
    let numbers: Vec<f64> =
        serde_json::from_str(&text("SELECT metric_json('Precision(thresholds=[0.2, 0.8])', y, p) FROM t"))
            .expect("an array");
    assert_eq!(numbers.len(), 2);
    assert_eq!(text("SELECT metric_json('AUC', y, p) FROM t WHERE y > 5"), "null");
    let error = error_of(&context, "SELECT metric('Precision(thresholds=[0.2, 0.8])', y, p) FROM t");
    assert!(error.contains("an array of shape [2]") && error.contains("metric_json('Precision', …)"), "{error}");
}

#[test]
fn undefined_results_and_empty_tables_are_null() {
    let context = context_of(&table(), 2, &Host::new());
    for sql in ["SELECT auc(y, p) FROM t WHERE y > 5", "SELECT auc(y, p) FROM t WHERE y = 1"] {
        assert!(rows(&context, sql)[0][0].is_nan(), "{sql}");
    }
    assert!(rows(&context, "SELECT g, auc(y, p) FROM t WHERE y > 5 GROUP BY g").is_empty());
}

#[test]
fn what_is_not_supported_is_refused_with_advice() {
    let context = context_of(&table(), 2, &Host::new());
    for (sql, what, advice) in [
        ("SELECT auc(DISTINCT y, p) FROM t", "DISTINCT", "subquery"),
        ("SELECT g, auc(DISTINCT y, p) FROM t GROUP BY g", "DISTINCT", "subquery"),
        (
            "SELECT auc(y, p) OVER (ORDER BY w ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM t",
            "can't remove rows",
            "UNBOUNDED PRECEDING",
        ),
        ("SELECT auc(y, CASE WHEN p < 0.9 THEN p END) FROM t", "y_pred is null in row", "IS NOT NULL"),
        ("SELECT g, auc(y, p, CASE WHEN p < 0.9 THEN w END) FROM t GROUP BY g", "sample_weight is null", "IS NOT NULL"),
        ("SELECT auc(y) FROM t", "auc takes y_true, y_pred, and optionally a weight", "1 arguments"),
        ("SELECT auc(y, p, w, w) FROM t", "auc takes y_true, y_pred", "4 arguments"),
        ("SELECT metric('AUC', y) FROM t", "takes y_true, y_pred", "1 arguments"),
        ("SELECT metric(y, p) FROM t", "metric takes an identifier", "Precision"),
        ("SELECT metric('Precison', y, p) FROM t", "Precison", "Precision"),
        ("SELECT metric('Precision(treshold=1)', y, p) FROM t", "treshold", "thresholds"),
        ("SELECT metric(CASE WHEN y = 1 THEN 'AUC' ELSE 'AUC' END, y, p) FROM t", "isn't a literal", "one metric"),
        ("SELECT classes(y, CAST(p AS VARCHAR)) FROM t", "classes takes numbers", "Utf8"),
        ("SELECT class_id(y) FROM t", "class_id takes a label", "its classes"),
        ("SELECT auc(y, p, -w) FROM t", "", ""),
    ] {
        if what.is_empty() {
            // Negative weights are used as they are.
            query(&context, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            continue;
        }
        let error = error_of(&context, sql);
        assert!(error.contains(what) && error.contains(advice), "{sql}: {error}");
    }
}

#[test]
fn windows_that_only_grow_are_evaluated_repeatedly() {
    let context = context_of(&table(), 1, &Host::new());
    let sql = "SELECT metric('TruePositives', y, p) OVER (ORDER BY w, p) FROM t ORDER BY w, p";
    let found = rows(&context, sql);
    let order = rows(&context, "SELECT y, p FROM t ORDER BY w, p");
    let mut count = 0.0;
    for (found, row) in found.iter().zip(&order) {
        count += f64::from(row[0] == 1.0 && row[1] > 0.5);
        assert_eq!(found[0], count);
    }
}

#[test]
fn functions_of_the_context_stay_and_a_second_registration_replaces_the_first() {
    let context = SessionContext::new();
    let host = Host::new();
    let first = plugfit_sql::register_all(&context, &host).expect("new functions");
    assert!(["mean", "sum"].iter().all(|name| first.taken.iter().any(|taken| taken == name)), "{:?}", first.taken);
    assert!(["auc", "huber"].iter().all(|name| first.names.iter().any(|known| known == name)), "{:?}", first.names);
    let second = plugfit_sql::register_all(&context, &host).expect("the same functions");
    assert_eq!((first.names, first.taken), (second.names, second.taken));
    assert_eq!(rows(&context, "SELECT sum(a), metric('Sum', a) FROM (VALUES (1), (2)) AS t(a)"), [[3.0, 3.0]]);
}

/// Panics at a score of more than 0.99.
#[derive(Clone, Debug, Config)]
struct Fragile;

impl Metric for Fragile {
    type State = u64;
    fn info(&self) -> MetricInfo {
        MetricInfo::new(Direction::Neither)
    }
    fn init(&self) -> u64 {
        0
    }
    fn update(&self, count: &mut u64, inputs: &Inputs<'_>) -> plugfit_api::Result<()> {
        inputs.for_each(|_, score, _| {
            assert!(score <= 0.99, "a score of {score}");
            *count += 1;
        })
    }
    fn merge(&self, count: &mut u64, other: &u64) -> plugfit_api::Result<()> {
        *count += other;
        Ok(())
    }
    fn result(&self, count: &u64) -> plugfit_api::Result<Outcome> {
        Ok(Outcome::Scalar(*count as f64))
    }
}

#[test]
fn a_plugin_that_panics_in_a_partition_is_named() {
    use datafusion::logical_expr::AggregateUDF;
    let context = context_of(&table(), 3, &Host::new());
    let function = plugfit_sql::MetricFunction::new(
        &Host::new(),
        "fragile",
        plugfit_api::instance::metric(Fragile),
        plugfit_sql::Form::Number,
    );
    context.register_udaf(AggregateUDF::new_from_impl(function));
    let count = rows(&context, "SELECT fragile(y, p), count(*) FROM t WHERE p < 0.99");
    assert_eq!(count[0][0], count[0][1]);
    for sql in ["SELECT fragile(y, p) FROM t", "SELECT g, fragile(y, p) FROM t GROUP BY g"] {
        let error = error_of(&context, sql);
        assert!(error.contains("Fragile") && error.contains("a score of 0.99"), "{error}");
        assert!(error.contains("fragile(t.y,t.p)"), "{error}");
    }
}
