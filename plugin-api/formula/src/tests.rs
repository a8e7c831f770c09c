//! Properties of formulas with every operation, on random numbers.

use super::*;

/// Random numbers, by xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// Returns a number from -2 to 2.
    fn number(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64 * 4.0 - 2.0
    }
}

const SHAPE: Shape = Shape { rows: 2, columns: 3 };

/// Reads a formula of `y_true` (a row of ids if `of_ids`), `y_pred` and a row of positive numbers.
pub(super) fn loss(of_ids: bool, nodes: &str, outputs: &str) -> Formula {
    let level = if of_ids { "row" } else { "element" };
    let text = format!(
        r#"{{"version": 1, "inputs": [["y_true", "{level}"], ["y_pred", "element"]], "nodes": [{nodes}],
        "outputs": [{outputs}], "axis": -1}}"#
    );
    Formula::read(&text).unwrap()
}

fn digits(value: f64) -> String {
    Constant::new(value).to_digits()
}

/// The operations on node 1 (`y_pred`) and node 0 (`y_true`): all that are smooth on positive numbers.
fn smooth() -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    for unary in Unary::ALL.iter().filter(|unary| **unary != Unary::Detach) {
        nodes.push(format!(r#"["{}", 1]"#, unary.name()));
    }
    for binary in Binary::ALL {
        nodes.push(format!(r#"["{}", 1, 0]"#, binary.name()));
        nodes.push(format!(r#"["{}", 0, 1]"#, binary.name()));
    }
    for (name, exponent) in [
        ("power_of", 2.5),
        ("power_of", 0.5),
        ("powf", 1.5),
        ("powf", 0.0),
        ("powf", 1.0),
        ("powi", 3.0),
        ("powi", -2.0),
        ("powi", 0.0),
        ("powi", 1.0),
    ] {
        nodes.push(format!(r#"["{name}", 1, "{}"]"#, digits(exponent)));
    }
    nodes
}

fn inputs(random: &mut Random) -> [Vec<f64>; 2] {
    [0, 1].map(|_| (0..6).map(|_| random.number().abs() + 0.125).collect())
}

/// Compares the derivative of the sum of the output over each row with central differences.
fn check_derivative(formula: &Formula, [y_true, y_pred]: &[Vec<f64>; 2]) {
    let ids = [2.0, 0.0];
    let of_ids = formula.inputs()[0].level == Level::Row;
    let y_true: &[f64] = if of_ids { &ids } else { y_true };
    for (at, input) in ["y_true", "y_pred"].into_iter().enumerate().skip(usize::from(of_ids)) {
        let differentiated = formula.differentiate("value", input, "slope").unwrap();
        let slopes = differentiated.interpret("slope", &[y_true, y_pred], SHAPE).unwrap();
        let level = differentiated.nodes()[differentiated.output("slope").unwrap()].level;
        for element in 0..6 {
            let row = element / 3;
            let total = |change: f64| -> f64 {
                let mut changed = [y_true.to_vec(), y_pred.clone()];
                changed[at][element] += change;
                let value = formula.interpret("value", &[&changed[0], &changed[1]], SHAPE).unwrap();
                match value.len() {
                    2 => value[row],
                    1 => value[0],
                    _ => value[3 * row..][..3].iter().sum(),
                }
            };
            let expected = (total(1e-6) - total(-1e-6)) / 2e-6;
            let slope = match level {
                Level::Scalar => slopes[0],
                Level::Row => slopes[row],
                Level::Element => slopes[element],
            };
            let error = (slope - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-6, "{slope} is not {expected}, by {input}: {}", differentiated.to_json());
        }
    }
}

#[test]
fn derivatives_of_every_operation_are_those_of_central_differences() {
    let mut random = Random(1);
    for node in smooth() {
        let inputs = inputs(&mut random);
        check_derivative(&loss(false, &node, r#"["value", 2]"#), &inputs);
        // Within a row's value, and as a factor of each element.
        let of_row = format!(r#"{node}, ["mul", 2, 2], ["row_sum", 3], ["sqrt", 4], ["mul", 5, 4]"#);
        check_derivative(&loss(false, &of_row, r#"["value", 6]"#), &inputs);
        let shared = format!(r#"{node}, ["row_sum", 2], ["row_max", 1], ["mul", 3, 4], ["mul", 5, 0], ["add", 6, 2]"#);
        check_derivative(&loss(false, &shared, r#"["value", 7]"#), &inputs);
    }
}

#[test]
fn derivatives_of_rows_with_class_ids_are_those_of_central_differences() {
    let mut random = Random(2);
    // The cross-entropy of class ids.
    let nodes = r#"["row_max", 1], ["sub", 1, 2], ["exp", 3], ["row_sum", 4], ["ln", 5], ["at", 3, 0], ["sub", 6, 7]"#;
    let formula = loss(true, nodes, r#"["value", 8]"#);
    check_derivative(&formula, &inputs(&mut random));
    let y_pred = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
    let formula = formula.with_derivatives().unwrap();
    assert_eq!(formula.output("derivative_y_true"), None);
    let slopes = formula.interpret("derivative", &[&[2.0, 0.0], &y_pred], SHAPE).unwrap();
    let third = 1.0 / 3.0;
    for (slope, expected) in slopes.into_iter().zip([third, third, third - 1.0, third - 1.0, third, third]) {
        assert!((slope - expected).abs() < 1e-15);
    }
}

#[test]
fn a_value_that_is_not_selected_does_not_make_the_derivative_nan() {
    let zero = digits(0.0);
    // The root of positive numbers, else 0; then the same of a row's sum.
    let nodes = format!(
        r#"["const", "{zero}"], ["gt", 1, 2], ["sqrt", 1], ["mul", 4, 4], ["ln", 5], ["select", 3, 6, 2],
        ["row_sum", 1], ["gt", 8, 2], ["sqrt", 8], ["select", 9, 10, 2], ["add", 7, 11]"#
    );
    let formula = loss(false, &nodes, r#"["value", 12]"#).differentiate("value", "y_pred", "slope").unwrap();
    let y_pred = [0.0, -1.0, 1.0, 4.0, 0.0, -4.0];
    let slopes = formula.interpret("slope", &[&[0.0; 6], &y_pred], SHAPE).unwrap();
    assert_eq!(slopes, [0.0, 0.0, 1.0, 0.25, 0.0, 0.0]);
}

#[test]
fn at_a_kink_the_derivative_is_the_mean_of_both_sides() {
    for (node, x, expected) in [
        (r#"["abs", 1]"#, 0.0, 0.0),
        (r#"["abs", 1]"#, -3.0, -1.0),
        (r#"["max", 1, 0]"#, 1.0, 0.5),
        (r#"["min", 0, 1]"#, 1.0, 0.5),
        (r#"["max", 1, 0]"#, 0.5, 0.0),
        (r#"["max", 0, 0], ["min", 1, 2]"#, 1.0, 0.5),
        (r#"["max", 1, 1]"#, 1.0, 1.0),
        (r#"["row_max", 1]"#, 0.0, 1.0 / 3.0),
    ] {
        let output = format!(r#"["value", {}]"#, 1 + node.matches('[').count());
        let formula = loss(false, node, &output).differentiate("value", "y_pred", "slope").unwrap();
        let slopes = formula.interpret("slope", &[&[1.0; 6], &[x; 6]], SHAPE).unwrap();
        assert!(slopes.iter().all(|&slope| slope == expected), "{node} {slopes:?}");
    }
}

#[test]
fn a_loss_gets_the_derivatives_that_it_lacks() {
    let row = loss(false, r#"["sub", 1, 0], ["mul", 2, 2], ["row_sum", 3]"#, r#"["value", 4]"#);
    let formula = row.with_derivatives().unwrap();
    let names = |formula: &Formula| formula.outputs().iter().map(|output| output.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&formula), ["value", "derivative", "derivative_y_true"]);
    let inputs: [&[f64]; 2] = [&[1.0; 6], &[3.0; 6]];
    assert_eq!(formula.interpret("derivative", &inputs, SHAPE).unwrap(), [4.0; 6]);
    assert_eq!(formula.interpret("derivative_y_true", &inputs, SHAPE).unwrap(), [-4.0; 6]);
    // The author's derivative stays, and without one an element's value isn't differentiable.
    let own = loss(false, r#"["sub", 1, 0], ["mul", 2, 2]"#, r#"["value", 3], ["derivative", 0]"#);
    let formula = own.with_derivatives().unwrap();
    assert_eq!(formula.interpret("derivative", &inputs, SHAPE).unwrap(), [1.0; 6]);
    assert_eq!(formula.interpret("derivative_y_true", &inputs, SHAPE).unwrap(), [-4.0; 6]);
    let none = loss(false, r#"["sub", 1, 0], ["mul", 2, 2]"#, r#"["value", 3]"#);
    assert_eq!(names(&none.with_derivatives().unwrap()), ["value"]);
}

#[test]
fn a_derivative_has_a_derivative() {
    let formula = loss(false, r#"["powi", 1, "4010000000000000"]"#, r#"["value", 2]"#);
    let formula = formula.differentiate("value", "y_pred", "first").unwrap();
    let formula = formula.differentiate("first", "y_pred", "second").unwrap();
    assert_eq!(formula.interpret("second", &[&[0.0; 6], &[2.0; 6]], SHAPE).unwrap(), [48.0; 6]);
    assert!(formula.differentiate("first", "y_pred", "second").is_err());
    assert!(formula.differentiate("value", "gradient", "third").is_err());
}

/// Returns a formula of random operations on the earlier nodes.
fn random_formula(random: &mut Random, count: usize) -> Formula {
    let mut nodes: Vec<Node> = Vec::new();
    let inputs = [("y_true", Level::Row), ("y_pred", Level::Element), ("s", Level::Scalar)];
    let inputs = inputs.map(|(name, level)| Input { name: name.into(), level });
    let levels = inputs.clone().map(|input| input.level);
    while nodes.len() < count {
        let at = nodes.len();
        let [x, y, z] = [0; 3].map(|_| random.below(at.max(1)));
        let constants = [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, f64::NAN, f64::INFINITY];
        let constant = Constant::new(constants[random.below(constants.len())]);
        let operation = match random.below(12) {
            _ if at < 3 => Operation::Input(at),
            0 => Operation::Constant(constant),
            1 | 2 => Operation::Unary(Unary::ALL[random.below(Unary::ALL.len())], x),
            3..=5 => Operation::Binary(Binary::ALL[random.below(Binary::ALL.len())], x, y),
            6 => Operation::Power(Power::Whole, x, Constant::new(random.below(4) as f64 - 1.0)),
            7 => Operation::Compare(Comparison::ALL[random.below(Comparison::ALL.len())], x, y),
            8 => Operation::Logic(Logic::ALL[random.below(2)], x, y),
            9 => Operation::Select(x, y, z),
            10 => Operation::Reduce(Reduction::ALL[random.below(2)], x),
            _ => {
                let others = [
                    Operation::Not(x),
                    Operation::BatchAll(x),
                    Operation::RowLength,
                    Operation::At(x, y),
                    Operation::Index,
                ];
                others[random.below(others.len())]
            }
        };
        // Operations whose arguments don't fit are left out.
        nodes.extend(Node::new(operation, &nodes, &levels));
    }
    let numbers = (0..count).rev().filter(|&at| nodes[at].kind == Kind::Number).take(4);
    let outputs = numbers.map(|node| Output { name: format!("output {node}"), node }).collect();
    Formula { inputs: inputs.into(), nodes, outputs, axis: Some(-1), each: None, slots: Vec::new(), sums: None }
}

fn is_same(x: f64, y: f64) -> bool {
    x == y || x.is_nan() && y.is_nan()
}

#[test]
fn a_simplified_formula_has_the_same_values() {
    let mut random = Random(3);
    for _ in 0..2000 {
        let formula = random_formula(&mut random, 24);
        let simplified = formula.simplify();
        assert!(simplified.nodes().len() <= formula.nodes().len());
        assert_eq!(simplified.simplify(), simplified, "{}", formula.to_json());
        let y_pred: Vec<f64> = (0..6).map(|_| random.number()).collect();
        let inputs: [&[f64]; 3] = [&[1.0, 2.0], &y_pred, &[random.number()]];
        let [before, after] =
            [&formula, &simplified].map(|formula| formula.interpret_all(inputs.as_slice(), SHAPE).unwrap());
        for (output, (before, after)) in formula.outputs().iter().zip(before.iter().zip(&after)) {
            let same = before.len() == after.len() && before.iter().zip(after).all(|(&x, &y)| is_same(x, y));
            assert!(same, "{} {before:?} {after:?} {}", output.name, formula.to_json());
        }
    }
}

#[test]
fn a_written_formula_is_read_as_it_was() {
    let mut random = Random(4);
    for _ in 0..500 {
        let formula = random_formula(&mut random, 40);
        assert_eq!(Formula::read(&formula.to_json().to_string()).unwrap(), formula);
        let slope = formula.differentiate(&formula.outputs()[0].name, "y_pred", "slope").unwrap();
        assert_eq!(Formula::read(&slope.to_json().to_string()).unwrap(), slope);
    }
    let text = r#"{"axis":null,"inputs":[["parameter","element"],["slot.m","element"]],"nodes":[["const","3fb999999999999a"]],"outputs":[["parameter",0],["slot.m",2]],"slots":[["m","0000000000000000"]],"version":1}"#;
    assert_eq!(Formula::read(text).unwrap().to_json().to_string(), text);
}

#[test]
fn simplification_folds_constants_and_removes_nodes() {
    let nodes = |formula: &Formula| formula.nodes()[2..].iter().map(|node| node.operation).collect::<Vec<_>>();
    let one = digits(1.0);
    let constants = format!(r#"["const", "{one}"], ["exp", 2], ["ln", 3], ["mul", 1, 4], ["tanh", 0]"#);
    assert_eq!(nodes(&loss(false, &constants, r#"["value", 5]"#).simplify()), []);
    let zero = digits(0.0);
    let product = format!(r#"["const", "{zero}"], ["mul", 1, 2]"#);
    assert_eq!(loss(false, &product, r#"["value", 3]"#).simplify().nodes().len(), 4);
    let equal =
        loss(false, r#"["add", 0, 1], ["add", 1, 0], ["mul", 2, 3], ["neg", 4], ["neg", 5]"#, r#"["value", 6]"#);
    assert_eq!(nodes(&equal.simplify()), [Operation::Binary(Binary::Add, 0, 1), Operation::Binary(Binary::Mul, 2, 2)]);
}

/// Returns a formula in which each of `count` nodes uses the node before it twice.
pub(super) fn doubled(count: usize) -> Formula {
    let nodes: Vec<String> =
        (0..count).map(|at| format!(r#"["{}", {}, {}]"#, ["add", "mul"][at % 2], at + 1, at + 1)).collect();
    loss(false, &nodes.join(","), &format!(r#"["value", {}]"#, count + 1))
}

#[test]
fn a_detached_number_is_a_constant() {
    let text = r#"{"version": 1, "inputs": [["y_true", "element"], ["y_pred", "element"]],
        "nodes": [["detach", 1], ["mul", 1, 2], ["row_sum", 3]], "outputs": [["value", 4]], "axis": -1}"#;
    let formula = Formula::read(text).unwrap().with_derivatives().unwrap();
    let shape = Shape { rows: 1, columns: 2 };
    assert_eq!(formula.interpret("value", &[&[0.0, 0.0], &[3.0, 4.0]], shape).unwrap(), [25.0]);
    assert_eq!(formula.interpret("derivative", &[&[0.0, 0.0], &[3.0, 4.0]], shape).unwrap(), [3.0, 4.0]);
}

#[test]
fn heavy_sharing_takes_linear_time() {
    let formula = doubled(600);
    assert!(formula.differentiate("value", "y_pred", "slope").unwrap().nodes().len() < 10 * 600);
    let inputs: [&[f64]; 2] = [&[0.0; 6], &[1e-9; 6]];
    assert_eq!(formula.simplify().interpret("value", &inputs, SHAPE).unwrap().len(), 6);
    assert!(doubled(4000).differentiate("value", "y_pred", "slope").is_err());
}

/// A metric of sums with bins for each column.
const SUMS: &str = include_str!("../../../tests/fuzz/corpus/formula/sums");

#[test]
fn a_metric_of_sums_is_read_written_and_computed() {
    let formula = Formula::read(SUMS).unwrap();
    formula.check_role(Role::Metric).unwrap();
    assert_eq!(Formula::read(&formula.to_json().to_string()).unwrap(), formula);
    assert_eq!(formula.simplify().sums(), formula.sums());
    let (y_true, y_pred) = ([1.0, 2.0, 4.0, 8.0], [0.0, 0.4, 0.9, 5.0]);
    let shape = Shape { rows: 2, columns: 2 };
    let sums = formula.interpret_sums(&[&y_true, &y_pred], &[1.0, 0.5], shape).unwrap();
    assert_eq!(sums[0], [1.0, 0.0, 2.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
    assert_eq!(sums[1], [0.0, 0.0, 1.8, 0.0, 0.0, 0.8, 0.0, 0.0]);
    assert_eq!(formula.interpret_result(&sums, 2).unwrap(), None);
    let text = formula.explain(false);
    let result = "a = Σ[before j](hits) / Σ[after j](all)\nresult = a - Σ[rows](Σⱼ(a))\nundefined = Σ[rows](Σⱼ(a))";
    assert!(text.ends_with(result), "{text}");
}

#[test]
fn sums_that_the_result_does_not_use_are_removed() {
    let text = SUMS.replace(r#"["row_before", 1]"#, r#"["row_before", 0]"#);
    let formula = Formula::read(&text).unwrap();
    let simple = formula.simplify();
    simple.check_role(Role::Metric).unwrap();
    assert_eq!(simple.terms().map(|term| term.name).collect::<Vec<_>>(), ["all"]);
    let (y_true, y_pred) = ([1.0, 2.0, 4.0, 8.0], [0.0, 0.4, 0.9, 0.7]);
    let shape = Shape { rows: 2, columns: 2 };
    let result = |formula: &Formula| {
        let sums = formula.interpret_sums(&[&y_true, &y_pred], &[1.0; 4], shape).unwrap();
        formula
            .sums()
            .unwrap()
            .result
            .interpret_all(&sums.iter().map(Vec::as_slice).collect::<Vec<_>>(), Shape { rows: 2, columns: 4 })
    };
    assert_eq!(format!("{:?}", result(&simple)), format!("{:?}", result(&formula)));
    // A metric has at least one sum.
    let constant = SUMS
        .replace(r#"["result", 7], ["undefined", 6]"#, r#"["result", 2]"#)
        .replace(r#"["row_after", 0]"#, r#"["const", "3ff0000000000000"]"#);
    let constant =
        constant.replace(r#", ["row_before", 1], ["div", 3, 2], ["row_sum", 4], ["batch_sum", 5], ["sub", 4, 6]"#, "");
    let simple = Formula::read(&constant).unwrap().simplify();
    simple.check_role(Role::Metric).unwrap();
    assert_eq!(simple.terms().count(), 1);
}

#[test]
fn sums_that_fit_no_metric_are_refused() {
    for (from, to, message) in [
        (r#""bins": 4"#, r#""bins": 0"#, "the sums have 0 bins"),
        (r#""bins": 4"#, r#""bins": 16777217"#, "the sums have 16777217 bins"),
        (r#""bins": 4"#, r#""bins": 1"#, "has the output \"bin.all\""),
        (r#", ["bin.hits", 4]"#, "", "the term \"hits\" has no bin"),
        (r#"["term.hits", 5], "#, "", "has the output \"bin.hits\""),
        (r#"["all", "element"], ["hits", "element"]"#, r#"["hits", "element"], ["all", "element"]"#, "aren't the sums"),
        (r#"["all", "element"]"#, r#"["all", "row"]"#, "of row_after is of the level row"),
        (r#"["result", 7], "#, "", "has no output \"result\""),
        (r#"["undefined", 6]"#, r#"["undefined", 4]"#, "has the output \"undefined\" of the level element"),
        (r#"["undefined", 6]"#, r#"["other", 6]"#, "has the output \"other\""),
        (r#"{"version": 1, "inputs": [["all""#, r#"{"version": 0, "inputs": [["all""#, "has the version 0"),
        (r#"["mul", 0, 1]]"#, r#"["row_before", 1]]"#, "row_before is only for the result of sums"),
    ] {
        assert!(SUMS.contains(from), "{from}");
        let read = Formula::read(&SUMS.replacen(from, to, 1)).and_then(|formula| formula.check_role(Role::Metric));
        let error = read.unwrap_err();
        assert!(matches!(error, ReadError::Invalid(_)) && error.to_string().contains(message), "{message}: {error}");
    }
    let loss = Formula::read(SUMS).unwrap().check_role(Role::Loss);
    assert!(loss.unwrap_err().to_string().contains("no output \"value\""));
}
