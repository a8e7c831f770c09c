//! Examples of metrics: the results that they give for small inputs. The plug-in's tests check them.

pub const ACCURACY: &[&str] = &[
    r#"{"y_true": [[1], [2], [3]], "y_pred": [[0], [2], [3]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#,
    r#"{"y_true": [[1, 2], [2, 0]], "y_pred": [[1, 0], [2, 1]], "sample_weight": [1, 2], "gives": 0.5}"#,
];

pub const BINARY_ACCURACY: &[&str] = &[
    r#"{"config": {"threshold": 0.35}, "y_true": [[0], [1], [1]], "y_pred": [[0.3], [0.9], [0.4]], "sample_weight": [1, 2, 0.5], "gives": 1}"#,
    r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#,
    r#"{"y_true": [[0], [1], [1]], "y_pred": [[0.5], [0.9], [0.5]], "sample_weight": [1, 2, 0.5], "gives": 0.8571429}"#,
];

pub const CATEGORICAL_ACCURACY: &[&str] = &[
    r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#,
    r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.3, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#,
];

pub const SPARSE_CATEGORICAL_ACCURACY: &[&str] = &[
    r#"{"y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#,
    r#"{"y_true": [[1], [0], [2]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.3, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.7142857}"#,
    r#"{"y_true": [1, 3], "y_pred": [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5]], "refused": "3 in row 1"}"#,
    r#"{"y_true": [-1], "y_pred": [[0.2, 0.5, 0.3]], "refused": "-1 in row 0"}"#,
    r#"{"y_true": [1, 3], "y_pred": [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5]], "sample_weight": [1, 0], "gives": 1}"#,
];

pub const TOP_K_CATEGORICAL_ACCURACY: &[&str] = &[
    r#"{"config": {"k": 2}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 1}"#,
    r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#,
    r#"{"config": {"k": 1}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#,
];

pub const SPARSE_TOP_K_CATEGORICAL_ACCURACY: &[&str] = &[
    r#"{"config": {"k": 2}, "y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 1}"#,
    r#"{"y_true": [1, 0, 2], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#,
    r#"{"config": {"k": 2, "from_sorted_ids": true}, "y_true": [1, 0, 2], "y_pred": [[2, 1, 0], [1, 2, 0], [2, 0, 1]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#,
    r#"{"config": {"k": 1}, "y_true": [2, 0], "y_pred": [[0.2, 0.5, 0.5], [0.5, 0.5, 0.5]], "gives": 1}"#,
    r#"{"config": {"k": 2}, "y_true": [3], "y_pred": [[0.5, 0.3, 0.2]], "refused": "3 in row 0"}"#,
    r#"{"config": {"k": 2, "from_sorted_ids": true}, "y_true": [7, 5], "y_pred": [[9, 7], [6, 4]], "gives": 0.5}"#,
    r#"{"config": {"from_sorted_ids": true}, "y_true": [1], "y_pred": [[0.5, 0.2]], "refused": "0.5 in row 0"}"#,
];

pub const AUC: &[&str] = &[
    r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.8888888}"#,
    r#"{"config": {"num_thresholds": 5, "curve": "PR"}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.8289903}"#,
    r#"{"config": {"num_thresholds": 5, "summation_method": "minoring"}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.7777777}"#,
    r#"{"config": {"num_thresholds": 5, "summation_method": "majoring", "curve": "PR"}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.9166666}"#,
    r#"{"config": {"num_thresholds": 5, "curve": "PRGAIN"}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666666}"#,
    r#"{"config": {"multi_label": true, "num_thresholds": 5}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "gives": 1}"#,
    r#"{"config": {"thresholds": [0.5, 0.2, 0.7]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.9417989}"#,
    r#"{"config": {"thresholds": [0.25, 0.5, 0.75]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.9259259}"#,
    r#"{"config": {"thresholds": [0.5, 0.2, 0.7], "curve": "PR"}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.9155241}"#,
    r#"{"config": {"num_thresholds": 5, "from_logits": true, "summation_method": "minoring"}, "y_true": [0, 1, 1, 0], "y_pred": [-1, 2, -0.5, 0.5], "gives": 0.5}"#,
    r#"{"config": {"multi_label": true, "num_thresholds": 5, "label_weights": [1.0, 3.0], "num_labels": 2}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 0.625}"#,
    r#"{"config": {"num_thresholds": 5, "label_weights": [1.0, 3.0]}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 0.625}"#,
    r#"{"config": {"multi_label": true, "num_thresholds": 5}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 0.75}"#,
    r#"{"config": {"num_thresholds": 5, "curve": "PRGAIN", "summation_method": "majoring"}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.9515306}"#,
    r#"{"config": {"num_thresholds": 5}, "batches": [{"y_true": [0, 1, 1], "y_pred": [0.1, 0.9, 0.4]}, {"y_true": [1, 0], "y_pred": [0.3, 0.6], "sample_weight": [1, 4]}], "gives": 0.4666667}"#,
    r#"{"config": {"thresholds": [0.25, 0.4], "curve": "PR", "summation_method": "majoring"}, "y_true": [1, 0, 1, 0], "y_pred": [0.3, 0.35, 0.8, 0.1], "gives": 1}"#,
    r#"{"config": {"from_logits": true}, "y_true": [0, 1, 1, 0, 1, 1], "y_pred": [41.25, 41.5, 43, 42, 40.5, 44], "gives": 0.625}"#,
    r#"{"config": {"from_logits": true}, "batches": [{"y_true": [0, 1, 1], "y_pred": [-40, -30, -20]}, {"y_true": [0, 1, 0], "y_pred": [-35, 60, 50]}], "gives": 0.7777778}"#,
    r#"{"y_true": [0, 1, -1], "y_pred": [0.2, 0.7, 0.4], "refused": "-1 in row 2"}"#,
    r#"{"config": {"num_labels": 1}, "refused": "num_labels"}"#,
    r#"{"config": {"thresholds": [0.5, 1.5]}, "refused": "thresholds"}"#,
    r#"{"config": {"thresholds": [-0.5]}, "refused": "thresholds"}"#,
];

pub const COSINE_SIMILARITY: &[&str] = &[
    r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.9641238}"#,
    r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "sample_weight": [1, 2], "gives": 0.9012701}"#,
    r#"{"y_true": [[1, 2, 4], [0.1, 0.1, 0.1], [0, 0, 0]], "y_pred": [[1.5, 2, 3], [0.7, 0.7, 0.7], [1, 2, 4]], "sample_weight": [1, 2, 0.5], "gives": 0.850828}"#,
    r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.9262548}"#,
    r#"{"config": {"axis": 0}, "y_true": [[1, 2], [3, 1]], "y_pred": [[1.5, 2], [2, 3]], "gives": 0.9084632}"#,
    r#"{"y_true": [[3e-08, 4e-08], [3, 4]], "y_pred": [[3, 1], [4, 3]], "gives": 0.6855481}"#,
    r#"{"y_true": [1, -2], "y_pred": [[1], [2]], "gives": 0}"#,
    r#"{"y_true": [[1], [-2]], "y_pred": [1, 2], "gives": 0}"#,
    r#"{"config": {"axis": 2}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#,
    r#"{"config": {"axis": -3}, "y_true": [[1, 0]], "y_pred": [[0.5, 0.5]], "refused": "axis"}"#,
];

pub const PEARSON_CORRELATION: &[&str] = &[
    r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [0.5, 1, 2]], "gives": 0.6636634}"#,
    r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "gives": 0.7845658}"#,
    r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [2, 1, 4]], "sample_weight": [3, 1], "gives": 0.6681683}"#,
    r#"{"batches": [{"y_true": [[[1, 2, 0.5], [3, 1, 2]]], "y_pred": [[[1.5, 2, 1], [2, 3, 1]]], "sample_weight": [2]}, {"y_true": [[2, 0, 1]], "y_pred": [[2, 0.5, 2]], "sample_weight": [0.5]}], "gives": 0.3659973}"#,
    r#"{"y_true": [[1e-08, 3e-08, 2e-08]], "y_pred": [[1, 2, 4]], "gives": 0.3273268}"#,
];

pub const CONCORDANCE_CORRELATION: &[&str] = &[
    r#"{"y_true": [[1, 2, 4], [0, 1, 0.5]], "y_pred": [[1.5, 2, 3], [0.5, 1, 2]], "gives": 0.4776995}"#,
    r#"{"config": {"axis": 1}, "y_true": [[[1, 2], [2, 0], [4, 1]], [[0, 1], [1, 3], [0.5, 1]]], "y_pred": [[[1.5, 1], [2, 0.5], [3, 1]], [[0.5, 2], [1, 4], [2, 1]]], "gives": 0.5422686}"#,
    r#"{"y_true": [[1, 2, 4], [0.1, 0.1, 0.1], [0, 0, 0]], "y_pred": [[1.5, 2, 3], [0.7, 0.7, 0.7], [1, 2, 4]], "sample_weight": [1, 2, 0.5], "gives": 0.2253521}"#,
    r#"{"batches": [{"y_true": [[[1, 2, 0.5], [3, 1, 2]]], "y_pred": [[[1.5, 2, 1], [2, 3, 1]]], "sample_weight": [2]}, {"y_true": [[2, 0, 1]], "y_pred": [[2, 0.5, 2]], "sample_weight": [0.5]}], "gives": 0.2411765}"#,
];

pub const PRECISION: &[&str] = &[
    r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#,
    r#"{"config": {"top_k": 1}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.4285714}"#,
    r#"{"config": {"class_id": 1, "thresholds": 0.4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "gives": 1}"#,
    r#"{"config": {"top_k": 2, "thresholds": 0.4}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.2142857}"#,
    r#"{"config": {"thresholds": [0.5, 0.99]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0.7619048, 0]}"#,
    r#"{"batches": [{"y_true": [0, 1, 1], "y_pred": [0.6, 0.9, 0.4]}, {"y_true": [1, 0], "y_pred": [0.8, 0.6], "sample_weight": [1, 4]}], "gives": 0.2857143}"#,
    r#"{"config": {"top_k": 2, "class_id": 1}, "y_true": [[0, 1, 1], [1, 1, 0]], "y_pred": [[0.5, 0.3, 0.4], [0.3, 0.6, 0.6]], "gives": 1}"#,
    r#"{"y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"thresholds": 1.5}, "refused": "thresholds"}"#,
];

pub const RECALL: &[&str] = &[
    r#"{"y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.6666667}"#,
    r#"{"config": {"top_k": 2, "class_id": 0}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 1}"#,
    r#"{"config": {"top_k": 1}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0}"#,
    r#"{"config": {"thresholds": [0.5, 0.25], "class_id": 1}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "sample_weight": [1, 2, 0.5], "gives": [0.6666667, 0.6666667]}"#,
    r#"{"batches": [{"y_true": [0, 1, 1], "y_pred": [0.6, 0.9, 0.4]}, {"y_true": [1, 0], "y_pred": [0.8, 0.6], "sample_weight": [1, 4]}], "gives": 0.6666667}"#,
    r#"{"config": {"top_k": 2, "class_id": 2, "thresholds": 0.55}, "y_true": [[0, 1, 1], [1, 1, 1]], "y_pred": [[0.5, 0.3, 0.4], [0.3, 0.6, 0.6]], "gives": 0.5}"#,
    r#"{"y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0.5}"#,
    r#"{"y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"thresholds": [0.5, -0.5]}, "refused": "thresholds"}"#,
];

pub const TRUE_POSITIVES: &[&str] = &[
    r#"{"config": {"thresholds": [0.3, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [3, 2]}"#,
    r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 3.5}"#,
    r#"{"config": {"thresholds": [0, 0.25, 0.5, 0.75, 1]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [4.5, 4.5, 4, 3, 0]}"#,
    r#"{"config": {"thresholds": [2.0]}, "refused": "thresholds"}"#,
    r#"{"y_true": [1, 0.2], "y_pred": [0.8, 0.8], "refused": "0.2 in row 1"}"#,
    r#"{"y_true": [-1, 1], "y_pred": [0.8, 0.8], "refused": "labels must be 0 or 1"}"#,
    r#"{"y_true": [1, 0.2], "y_pred": [0.8, 0.8], "sample_weight": [1, 0], "gives": 1}"#,
];

pub const TRUE_NEGATIVES: &[&str] = &[
    r#"{"config": {"thresholds": [0.15, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [1, 2]}"#,
    r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 3}"#,
    r#"{"config": {"thresholds": [0.7, 0.5, 0.25]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [5, 4, 4]}"#,
];

pub const FALSE_POSITIVES: &[&str] = &[
    r#"{"config": {"thresholds": [0.3, 0.7]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [1, 0]}"#,
    r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 0}"#,
    r#"{"config": {"thresholds": [0.7, 0.5, 0.25]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0.25, 1.25, 1.25]}"#,
];

pub const FALSE_NEGATIVES: &[&str] = &[
    r#"{"config": {"thresholds": [0.3, 0.5]}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": [0, 1]}"#,
    r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 0.5}"#,
    r#"{"config": {"thresholds": [0, 0.25, 0.5, 0.75, 1]}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": [0, 0, 0.5, 1.5, 4.5]}"#,
];

pub const ROOT_MEAN_SQUARED_ERROR: &[&str] = &[
    r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.6943651}"#,
    r#"{"y_true": [[[1], [2]], [[3], [1]]], "y_pred": [[[1.5], [2]], [[2], [3]]], "sample_weight": [1, 2], "gives": 1.307032}"#,
    r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.9258201}"#,
];

pub const LOG_COSH_ERROR: &[&str] = &[
    r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.214979}"#,
    r#"{"y_true": [[0, 0]], "y_pred": [[3, -0.01]], "gives": 1.154689}"#,
    r#"{"batches": [{"y_true": [[[1, 2], [3, 1]]], "y_pred": [[[1.5, 2], [2, 3]]], "sample_weight": [2]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": 0.3165576}"#,
];

pub const F_BETA_SCORE: &[&str] = &[
    r#"{"config": {"average": "weighted", "beta": 2.0, "threshold": 0.35}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.8]], "sample_weight": [1, 2, 0.5], "gives": 1}"#,
    r#"{"config": {"average": "micro", "beta": 0.5}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 0.6666666}"#,
    r#"{"config": {"beta": 2.0}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": [0, 0.8333332, 0.9999999]}"#,
    r#"{"config": {"average": "weighted", "beta": 3.0}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.2819444}"#,
    r#"{"config": {"average": "micro", "beta": 2.0, "threshold": 0.5}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.1086956}"#,
    r#"{"config": {"beta": 0.5, "average": "macro"}, "y_true": [[0, 1, 1], [1, 0, 0]], "y_pred": [[0, 0, 0], [-0.5, -0.3, -1]], "gives": 0}"#,
    r#"{"config": {"beta": 2.0, "average": "weighted"}, "y_true": [[0, 0], [0, 0]], "y_pred": [[0.5, 0.6], [0.3, 0.2]], "gives": 0}"#,
    r#"{"y_true": [[0, 1], [1, 2]], "y_pred": [[0.5, 0.6], [0.3, 0.2]], "refused": "2 in row 1, column 1"}"#,
];

pub const F1_SCORE: &[&str] = &[
    r#"{"y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "sample_weight": [1, 2, 0.5], "gives": [0, 0.5, 0.9999997]}"#,
    r#"{"config": {"average": "macro"}, "y_true": [[0, 1, 0], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7]], "gives": 0.5555555}"#,
    r#"{"y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "gives": [0, 0.5, 0.4999999]}"#,
    r#"{"config": {"average": "weighted", "threshold": 0.5}, "y_true": [[0, 1, 1], [1, 0, 0], [0, 0, 1]], "y_pred": [[0.5, 0.5, 0.3], [0.3, 0.6, 0.6], [0.1, 0.7, 0.7]], "sample_weight": [1, 2, 0.5], "gives": 0.08333331}"#,
    r#"{"batches": [{"y_true": [[1, 0], [0, 1]], "y_pred": [[0.5, 0.2], [0.6, 0.3]]}, {"y_true": [[1, 0], [0, 1]], "y_pred": [[0.7, 0.2], [0.6, 0.9]], "sample_weight": [2, 0.5]}], "gives": [0.8571428, 0.4999999]}"#,
    r#"{"y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.5, 0.6], [0.3, 0.2], [0.1, 0.7]], "sample_weight": [[1.0, 2.0], [0.5, 1.0], [3.0, 0.25]], "gives": [0.25, 1]}"#,
];

pub const IOU: &[&str] = &[
    r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2]}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.6666667}"#,
    r#"{"config": {"num_classes": 3, "target_class_ids": [0, 1], "ignore_class": 2, "sparse_y_pred": false}, "y_true": [2, 1, 0, 1], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.5, 0.5, 0.1], [0.1, 0.4, 0.5]], "gives": 0.7499999}"#,
    r#"{"config": {"num_classes": 3, "target_class_ids": [0, 1], "sparse_y_pred": false, "axis": 0}, "y_true": [1, 0, 1], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.1666667}"#,
    r#"{"config": {"num_classes": 2, "target_class_ids": [0, 1]}, "y_true": [0, 2, 0, 1], "y_pred": [0, 1, -1, 0], "gives": 0.25}"#,
    r#"{"config": {"num_classes": 2, "target_class_ids": [0]}, "y_true": [0, 0.5], "y_pred": [0, 1], "refused": "0.5 in row 1"}"#,
    r#"{"config": {"num_classes": 2, "target_class_ids": [2]}, "refused": "target_class_ids"}"#,
];

pub const MEAN_IOU: &[&str] = &[
    r#"{"config": {"num_classes": 3}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.5555556}"#,
    r#"{"config": {"num_classes": 3, "ignore_class": 1}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "gives": 0.5}"#,
    r#"{"config": {"num_classes": 4}, "y_true": [0, 1, 2, 2, 1, 0], "y_pred": [0, 2, 2, 1, 1, 0], "sample_weight": [1, 2, 4, 1, 3, 1], "gives": 0.6904762}"#,
    r#"{"config": {"num_classes": 3, "sparse_y_true": false, "sparse_y_pred": false, "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.6666667}"#,
];

pub const BINARY_IOU: &[&str] = &[
    r#"{"config": {"threshold": 0.45}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 0.5}"#,
    r#"{"config": {"threshold": 0.5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 4, 1, 1, 3, 1, 2], "gives": 0.6493506}"#,
    r#"{"config": {"target_class_ids": [1], "threshold": 0.3}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 4, 1, 1, 3, 1, 2], "gives": 0.7272727}"#,
    r#"{"batches": [{"y_true": [0, 1, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6]}, {"y_true": [[1, 0]], "y_pred": [[0.5, 0.2]], "sample_weight": [[1, 4]]}], "gives": 0.6071429}"#,
    r#"{"config": {"threshold": 0.5}, "y_true": [0, 1], "y_pred": [0.4, 0.3], "sample_weight": 0.5, "gives": 0.25}"#,
    r#"{"y_true": [0, -1], "y_pred": [0.4, 0.3], "refused": "-1 in row 1"}"#,
];

pub const ONE_HOT_IOU: &[&str] = &[
    r#"{"config": {"num_classes": 4, "target_class_ids": [0, 2]}, "y_true": [[0, 0, 1], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.25}"#,
    r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2]}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1], [0.1, 0.4, 0.5]], "gives": 0.1666667}"#,
    r#"{"config": {"num_classes": 3, "target_class_ids": [0, 2], "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.5}"#,
    r#"{"config": {"num_classes": 2, "target_class_ids": [0], "axis": 0}, "y_true": [[1, 0, 0], [0, 1, 0]], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.4999999}"#,
];

pub const ONE_HOT_MEAN_IOU: &[&str] = &[
    r#"{"config": {"num_classes": 4}, "y_true": [[0, 0, 1], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7]], "gives": 0.25}"#,
    r#"{"config": {"num_classes": 3}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.5, 0.3, 0.1], [0.1, 0.4, 0.5]], "gives": 0.1111111}"#,
    r#"{"config": {"num_classes": 3, "sparse_y_pred": true, "ignore_class": 1}, "y_true": [[0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]], "y_pred": [2, 2, 1, 0], "gives": 0.5}"#,
    r#"{"config": {"num_classes": 3, "axis": 1}, "y_true": [[[1, 0], [0, 1], [0, 0]], [[0, 0], [0, 0], [1, 1]]], "y_pred": [[[0.5, 0.2], [0.3, 0.7], [0.2, 0.1]], [[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]]], "gives": 0.6666667}"#,
    r#"{"config": {"num_classes": 2, "axis": 0}, "y_true": [[1, 0, 0], [0, 1, 0]], "y_pred": [[0.6, 0.3, 0.2], [0.3, 0.7, 0.8]], "gives": 0.5}"#,
    r#"{"config": {"num_classes": 2, "sparse_y_pred": true}, "y_true": [[1, 0], [0, 1]], "y_pred": [0, 2], "refused": "2 in row 1"}"#,
    r#"{"config": {"num_classes": 2}, "y_true": [[1, 0], [0, 1]], "y_pred": [[0.2, 0.5, 0.3], [0.5, 0.2, 0.3]], "refused": "num_classes"}"#,
];

pub const MEAN: &[&str] = &[
    r#"{"values": [1, 2, 6], "sample_weight": [1, 2, 0.5], "gives": 2.285714}"#,
    r#"{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5], "gives": 3.642857}"#,
    r#"{"values": [[1, 2], [6, 3]], "sample_weight": [[1, 2], [0.5, 1]], "gives": 2.444444}"#,
    r#"{"batches": [{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5]}, {"values": [7, 8], "sample_weight": [1, 3]}], "gives": 5.833333}"#,
    r#"{"batches": [{"values": [[1, 2], [6, 3]], "sample_weight": 2}, {"values": [7, 8]}], "gives": 5.25}"#,
];

pub const SUM: &[&str] = &[
    r#"{"values": [1, 2, 6], "sample_weight": [1, 2, 0.5], "gives": 8}"#,
    r#"{"values": [[1, 2], [6, 3], [4, 5]], "sample_weight": [1, 2, 0.5], "gives": 25.5}"#,
    r#"{"batches": [{"values": [1, 2]}, {"values": [[3, 0.5]], "sample_weight": [2]}], "gives": 10}"#,
];

pub const SENSITIVITY_AT_SPECIFICITY: &[&str] = &[
    r#"{"config": {"specificity": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#,
    r#"{"config": {"specificity": 0.8, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.6666667}"#,
    r#"{"config": {"specificity": 0.3, "num_thresholds": 4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 0.75}"#,
    r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"specificity": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
];

pub const SPECIFICITY_AT_SENSITIVITY: &[&str] = &[
    r#"{"config": {"sensitivity": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#,
    r#"{"config": {"sensitivity": 0.9, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7619048}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 4}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "sample_weight": [1, 2, 0.5], "gives": 1}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"sensitivity": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
];

pub const PRECISION_AT_RECALL: &[&str] = &[
    r#"{"config": {"recall": 0.6}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#,
    r#"{"config": {"recall": 0.9, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7826087}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.7619048}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 3}, "y_true": [1, 0, 1], "y_pred": [0.4, 0.6, 0.8], "gives": 0.6666667}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"config": {"recall": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
];

pub const RECALL_AT_PRECISION: &[&str] = &[
    r#"{"config": {"precision": 0.7}, "y_true": [0, 1, 1, 0, 1, 0], "y_pred": [0.1, 0.9, 0.4, 0.6, 0.7, 0.2], "gives": 1}"#,
    r#"{"config": {"precision": 0.8, "num_thresholds": 5}, "y_true": [0, 1, 1, 0, 1, 0, 1, 0], "y_pred": [0.25, 0.9, 0.5, 0.6, 0.75, 0.2, 0.98, 1], "sample_weight": [1, 2, 0.5, 1, 1, 3, 1, 0.25], "gives": 0.6666667}"#,
    r#"{"config": {"precision": 0.5, "class_id": 1, "num_thresholds": 3}, "y_true": [[0, 1], [1, 0], [1, 1]], "y_pred": [[0.2, 0.9], [0.6, 0.3], [0.4, 0.2]], "gives": 1}"#,
    r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 0, 1], "y_pred": [0.1, 0.2, 0.3], "gives": 0}"#,
    r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 0], "y_pred": [0.9, 0.2], "gives": 1}"#,
    r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [0, 0], "y_pred": [0.9, 0.2], "gives": 0}"#,
    r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [1, 1], "y_pred": [0.9, 0.2], "gives": 0.5}"#,
    r#"{"config": {"precision": 0.5, "num_thresholds": 1}, "y_true": [0, 1], "y_pred": [0.9, 0.2], "gives": 0}"#,
];

pub const R2_SCORE: &[&str] = &[
    r#"{"y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "sample_weight": [1, 2, 0.5], "gives": 0.6278846}"#,
    r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": 0.7053572}"#,
    r#"{"config": {"num_regressors": 1}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": 0.4107143}"#,
    r#"{"config": {"class_aggregation": null}, "y_true": [[1, 2], [3, 1], [0, 4]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3]], "gives": [0.6785714, 0.7321429]}"#,
    r#"{"config": {"num_regressors": 1}, "y_true": [[1, 2], [3, 1], [0, 4], [2, 2], [5, 3]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3], [2, 2], [4, 4]], "gives": 0.5989258}"#,
    r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 2], [3, 2], [0, 2], [7, 2]], "y_pred": [[1.5, 2], [2, 1.5], [0.5, 3], [5, 1]], "sample_weight": [1, 2, 0.5, 3], "gives": 0.6832627}"#,
    r#"{"config": {"class_aggregation": "variance_weighted_average"}, "y_true": [[1, 20], [3, 10], [0, 40], [7, 20]], "y_pred": [[1.5, 20], [2, 15], [0.5, 30], [5, 10]], "sample_weight": [1, 2, 0.5, 3], "gives": 0.03633744}"#,
    r#"{"config": {"class_aggregation": null}, "y_true": [[1], [3], [0]], "y_pred": [[1.5], [2], [0.5]], "sample_weight": [1, 2, 0.5], "gives": [0.525]}"#,
    r#"{"batches": [{"y_true": [[1, 2], [3, 1]], "y_pred": [[1.5, 2], [2, 3]]}, {"y_true": [[2, 0], [4, 1]], "y_pred": [[2, 0.5], [3, 1]], "sample_weight": [1, 0.5]}], "gives": -0.298077}"#,
    r#"{"y_true": [[1], [1]], "y_pred": [[1], [2]], "gives": 0}"#,
];
