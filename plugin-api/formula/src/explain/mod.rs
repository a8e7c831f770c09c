//! Prints formulas as mathematics.

mod fragment;
mod print;

use super::Formula;
use super::node::Kind;
use super::operation::{Binary, Operation};
use fragment::{Binding, Fragment, Notation};

/// A node that is used several times gets a name, unless it is printed with at most so many nodes.
const TINY: usize = 3;

/// The same for a mask, which is harder to read by a name.
const TINY_MASK: usize = 6;

/// A node that is printed with more nodes gets a name even if it is used once.
const LONG: usize = 40;

/// The names of shared nodes: without those that mean something in a formula, such as e, j and n.
const LETTERS: &[u8] = b"abcdfghkmpqrstuvwxz";

impl Formula {
    /// Returns the formula as mathematics, one line for each shared part and for each output: as plain text, or as LaTeX
    /// for an environment of mathematics. It isn't simplified.
    ///
    /// `y_true` is y, and `y_pred` is ŷ. `j` numbers the elements of a row, and `n` is their number. An arrow stands
    /// before the new value of an input. The lines of terms are followed by those of the result of their sums.
    pub fn explain(&self, latex: bool) -> String {
        let notation = if latex { Notation::Latex } else { Notation::Text };
        let mut count = 0;
        let mut lines = self.explained(notation, &mut count);
        if let Some(sums) = self.sums() {
            lines.extend(sums.result.explained(notation, &mut count));
        }
        notation.lines(&lines)
    }

    /// Returns the lines of the formula, without those of the result of sums. `count` is the number of letters that are
    /// names.
    fn explained(&self, notation: Notation, count: &mut usize) -> Vec<String> {
        let mut names = Names { formula: self, notation, count };
        let uses = self.uses();
        let mut fragments: Vec<Fragment> = Vec::with_capacity(self.nodes.len());
        // What each node that has a name is.
        let mut definitions: Vec<Option<Definition>> = Vec::with_capacity(self.nodes.len());
        for (at, node) in self.nodes.iter().enumerate() {
            let mut fragment = match node.operation {
                Operation::Input(input) => notation.name(&self.inputs[input].name),
                _ if uses[at] == 0 => Fragment::new("", Binding::Atom),
                operation => notation.operation(operation, &fragments),
            };
            let tiny = if node.kind == Kind::Mask { TINY_MASK } else { TINY };
            let mut definition = None;
            if fragment.size > if uses[at] > 1 { tiny } else { LONG } {
                let text = notation.whole(&fragment);
                let name;
                (name, fragment) = names.of(at);
                definition = Some(Definition { name, text });
            }
            fragments.push(fragment);
            definitions.push(definition);
        }

        let mut lines = Vec::new();
        for output in &self.outputs {
            for at in self.needed_by(output.node) {
                if let Some(Definition { name, text }) = definitions[at].take() {
                    lines.push(notation.line(&name, "=", &text));
                }
            }
            let name = notation.name(&output.name).text;
            let text = notation.whole(&fragments[output.node]);
            let is_defined = text == name && self.nodes[output.node].operation != Operation::Input(output.node);
            if !is_defined {
                let is_new_value = self.input(&output.name).is_some();
                let sign = if is_new_value { notation.pick("←", r"\leftarrow") } else { "=" };
                lines.push(notation.line(&name, sign, &text));
            }
        }
        lines
    }

    /// Returns how often each node is used by nodes that an output needs, and by outputs. A square uses its argument once.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        for output in &self.outputs {
            uses[output.node] += 1;
        }
        for at in (0..self.nodes.len()).rev() {
            if uses[at] == 0 {
                continue;
            }
            match self.nodes[at].operation {
                Operation::Binary(Binary::Mul | Binary::Add, x, y) if x == y => uses[x] += 1,
                operation => operation.arguments().for_each(|argument| uses[argument] += 1),
            }
        }
        uses
    }

    /// Returns the nodes that a node depends on, and itself, in order.
    fn needed_by(&self, node: usize) -> Vec<usize> {
        let mut needed = vec![false; node + 1];
        needed[node] = true;
        for at in (0..=node).rev() {
            if needed[at] {
                self.nodes[at].operation.arguments().for_each(|argument| needed[argument] = true);
            }
        }
        (0..=node).filter(|&at| needed[at]).collect()
    }
}

/// A line that defines a name.
struct Definition {
    name: String,
    text: String,
}

/// Gives names to nodes.
struct Names<'f> {
    formula: &'f Formula,
    notation: Notation,
    count: &'f mut usize,
}

impl Names<'_> {
    /// Returns the name of a node, as it is defined and as it is used: that of its output, or a letter.
    fn of(&mut self, node: usize) -> (String, Fragment) {
        let formula = self.formula;
        let output = formula.outputs.iter().find(|output| output.node == node);
        if let Some(output) = output.filter(|output| formula.input(&output.name).is_none()) {
            let fragment = self.notation.name(&output.name);
            return (fragment.text.clone(), fragment);
        }
        loop {
            let letter = char::from(LETTERS[*self.count % LETTERS.len()]);
            let round = *self.count / LETTERS.len();
            *self.count += 1;
            let name = match (round, self.notation) {
                (0, _) => letter.to_string(),
                (_, Notation::Text) => format!("{letter}{round}"),
                (_, Notation::Latex) => format!("{letter}_{{{round}}}"),
            };
            if formula.input(&name).is_none() && formula.output(&name).is_none() {
                return (name.clone(), Fragment::new(name, Binding::Atom));
            }
        }
    }
}

impl Notation {
    fn line(self, name: &str, sign: &str, text: &str) -> String {
        match self {
            Notation::Text => format!("{name} {sign} {text}"),
            Notation::Latex => format!("{name} &{sign} {text}"),
        }
    }

    fn lines(self, lines: &[String]) -> String {
        match self {
            Notation::Text => lines.join("\n"),
            Notation::Latex => format!("\\begin{{aligned}}\n{}\n\\end{{aligned}}", lines.join(" \\\\\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{doubled, loss};
    use super::*;

    fn text(nodes: &str) -> String {
        let value = format!(r#"["value", {}]"#, 1 + nodes.matches('[').count());
        loss(false, nodes, &value).explain(false)
    }

    const SQUARE: &str = r#"["sub", 1, 0], ["mul", 2, 2], ["const", "3fe0000000000000"], ["mul", 3, 4], ["neg", 2]"#;

    #[test]
    fn a_formula_is_printed_as_it_is_written_by_hand() {
        let square = loss(false, SQUARE, r#"["value", 5], ["derivative", 2], ["derivative_y_true", 6]"#);
        assert_eq!(square.explain(false), "value = ½ (ŷ - y)²\nderivative = ŷ - y\nderivative_y_true = -(ŷ - y)");
        let latex = [
            r"\begin{aligned}",
            r"\mathrm{value} &= \frac{1}{2} \left(\hat{y} - y\right)^{2} \\",
            r"\mathrm{derivative} &= \hat{y} - y \\",
            r"\mathrm{derivative\_y\_true} &= -\left(\hat{y} - y\right)",
            r"\end{aligned}",
        ];
        assert_eq!(square.explain(true), latex.join("\n"));
    }

    #[test]
    fn parentheses_are_where_they_are_needed() {
        for (nodes, expected) in [
            (r#"["add", 0, 1], ["add", 0, 2]"#, "y + y + ŷ"),
            (r#"["sub", 0, 1], ["sub", 0, 2]"#, "y - (y - ŷ)"),
            (r#"["sub", 0, 1], ["sub", 2, 0]"#, "y - ŷ - y"),
            (r#"["add", 0, 1], ["mul", 0, 2]"#, "y · (y + ŷ)"),
            (r#"["mul", 0, 1], ["div", 0, 2]"#, "y / (y · ŷ)"),
            (r#"["mul", 0, 1], ["div", 2, 0]"#, "y · ŷ / y"),
            (r#"["neg", 0], ["add", 1, 2]"#, "ŷ - y"),
            (r#"["neg", 0], ["mul", 1, 2]"#, "ŷ · (-y)"),
            (r#"["neg", 0], ["powi", 2, "c000000000000000"]"#, "(-y)⁻²"),
            (r#"["powf", 0, "3ff8000000000000"], ["powf", 2, "bff8000000000000"]"#, "(y^1.5)^(-1.5)"),
            (r#"["const", "4008000000000000"], ["mul", 0, 2]"#, "3 y"),
            (r#"["const", "c008000000000000"], ["mul", 2, 0], ["add", 1, 3]"#, "ŷ - 3 y"),
            (r#"["abs", 0], ["sqrt", 2], ["mul", 3, 3]"#, "(√|y|)²"),
            (r#"["add", 0, 1], ["add", 2, 2]"#, "2 (y + ŷ)"),
            (r#"["neg", 0], ["ln_1p", 2], ["exp_m1", 3]"#, "exp(ln(1 - y)) - 1"),
            (r#"["sigmoid", 0], ["softplus", 2], ["flush", 3], ["max", 4, 1]"#, "max(softplus(σ(y)), ŷ)"),
            (r#"["row_sum", 0], ["row_max", 1], ["div", 2, 3], ["row_len"], ["div", 4, 5]"#, "Σⱼ(y) / maxⱼ(ŷ) / n"),
            (r#"["const", "54b249ad2594c37d"], ["sub", 1, 2]"#, "ŷ - 1e100"),
            (r#"["const", "7ff8000000000000"], ["const", "fff0000000000000"], ["min", 2, 3]"#, "min(NaN, -∞)"),
        ] {
            assert_eq!(text(nodes), format!("value = {expected}"));
        }
    }

    #[test]
    fn selections_are_cases() {
        let nodes = r#"["lt", 0, 1], ["ge", 0, 1], ["eq", 0, 1], ["or", 2, 3], ["and", 5, 4], ["not", 6],
            ["select", 2, 0, 1], ["select", 7, 1, 8], ["const", "4000000000000000"], ["mul", 10, 9]"#;
        let condition = "not ((y < ŷ or y ≥ ŷ) and y = ŷ)";
        assert_eq!(text(nodes), format!("value = 2 {{ ŷ  if {condition}; y  if y < ŷ; ŷ otherwise }}"));
        let latex = loss(false, r#"["le", 0, 1], ["select", 2, 0, 1]"#, r#"["value", 3]"#).explain(true);
        let cases = r"\begin{cases} y & \text{if } y \le \hat{y} \\ \hat{y} & \text{otherwise} \end{cases}";
        assert_eq!(latex, format!("\\begin{{aligned}}\n\\mathrm{{value}} &= {cases}\n\\end{{aligned}}"));
    }

    #[test]
    fn parts_that_are_used_several_times_get_names() {
        let nodes = r#"["sub", 1, 0], ["exp", 2], ["tanh", 3], ["mul", 4, 3], ["div", 5, 4]"#;
        assert_eq!(text(nodes), "a = exp(ŷ - y)\nvalue = tanh(a) · a / tanh(a)");
        // An output that another one uses is its own name.
        let formula = loss(false, r#"["sub", 1, 0], ["exp", 2], ["sqrt", 3]"#, r#"["derivative", 4], ["value", 3]"#);
        assert_eq!(formula.explain(false), "value = exp(ŷ - y)\nderivative = √value");
    }

    #[test]
    fn the_new_value_of_an_input_is_marked() {
        let text = r#"{"version": 1, "inputs": [["parameter", "element"], ["gradient", "element"], ["a", "element"]],
            "nodes": [["mul", 0, 1], ["add", 3, 2], ["mul", 4, 1]], "outputs": [["parameter", 4], ["a", 5], ["z", 2]]}"#;
        let lines = "b = parameter · gradient + a\nparameter ← b\na ← b · gradient\nz = a";
        assert_eq!(Formula::read(text).unwrap().explain(false), lines);
    }

    #[test]
    fn class_ids_index_a_row() {
        let formula = loss(true, r#"["exp", 1], ["at", 2, 0], ["ln", 3]"#, r#"["value", 4]"#);
        assert_eq!(formula.explain(false), "value = ln(exp(ŷ)[y])");
        let formula = formula.with_derivatives().unwrap();
        let derivative = "derivative = { 1 / a · exp(ŷ)  if j = y; 0 otherwise }";
        assert_eq!(formula.explain(false), format!("a = exp(ŷ)[y]\nvalue = ln(a)\n{derivative}"));
    }

    #[test]
    fn the_text_is_short_whatever_is_shared() {
        let text = doubled(4000).explain(false);
        assert!(text.len() < 4000 * 40, "{}", text.len());
        let chain: Vec<String> = (1..4000).map(|at| format!(r#"["exp", {at}]"#)).collect();
        let text = loss(false, &chain.join(","), r#"["value", 4000]"#).explain(true);
        assert!(text.len() < 4000 * 40, "{}", text.len());
        assert!(text.contains("z_{3} &= "), "{text}");
    }

    #[test]
    fn names_are_escaped_for_latex() {
        let text = r#"{"version": 1, "inputs": [["a_b$\\x", "scalar"]], "nodes": [], "outputs": [["v", 0]]}"#;
        let latex = Formula::read(text).unwrap().explain(true);
        assert_eq!(latex, "\\begin{aligned}\nv &= \\mathrm{a\\_b\\$\\backslash{}x}\n\\end{aligned}");
    }
}
