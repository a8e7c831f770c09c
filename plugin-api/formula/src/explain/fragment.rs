//! Parts of a printed formula.

/// How tightly the outermost operation of a fragment binds, from the loosest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Negative,
    Product,
    Power,
    Atom,
}

/// A printed node.
#[derive(Clone, Debug)]
pub struct Fragment {
    pub text: String,
    pub binding: Binding,
    /// How many nodes are printed in it.
    pub size: usize,
    /// Whether it is a distinction of cases; then `text` has no brackets around the cases.
    pub is_cases: bool,
    /// Whether it is a constant.
    pub is_number: bool,
}

impl Fragment {
    pub fn new(text: impl Into<String>, binding: Binding) -> Self {
        Fragment { text: text.into(), binding, size: 1, is_cases: false, is_number: false }
    }
}

/// How formulas are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    Text,
    Latex,
}

impl Notation {
    /// Returns one of two texts, for text and LaTeX.
    pub fn pick<'t>(self, text: &'t str, latex: &'t str) -> &'t str {
        match self {
            Notation::Text => text,
            Notation::Latex => latex,
        }
    }

    /// Encloses a text in parentheses.
    pub fn parentheses(self, inner: &str) -> String {
        match self {
            Notation::Text => format!("({inner})"),
            Notation::Latex => format!(r"\left({inner}\right)"),
        }
    }

    /// Returns a fragment as it stands for itself.
    pub fn whole(self, fragment: &Fragment) -> String {
        match (fragment.is_cases, self) {
            (false, _) => fragment.text.clone(),
            (true, Notation::Text) => format!("{{ {} }}", fragment.text),
            (true, Notation::Latex) => format!(r"\begin{{cases}} {} \end{{cases}}", fragment.text),
        }
    }

    /// Returns a fragment as an operand that must bind at least so tightly.
    pub fn operand(self, fragment: &Fragment, least: Binding) -> String {
        match fragment.binding >= least {
            true => self.whole(fragment),
            false => self.parentheses(&self.whole(fragment)),
        }
    }

    /// As [`operand`](Self::operand), after an operator: a sign gets parentheses.
    pub fn right_operand(self, fragment: &Fragment, least: Binding) -> String {
        match fragment.text.starts_with('-') {
            true => self.parentheses(&self.whole(fragment)),
            false => self.operand(fragment, least),
        }
    }

    /// Returns a number, as short as possible while it has all digits.
    pub fn number(self, value: f64) -> Fragment {
        let (text, positive) = self.number_text(value);
        let binding = if text.starts_with('-') { Binding::Negative } else { positive };
        Fragment { is_number: true, ..Fragment::new(text, binding) }
    }

    fn number_text(self, value: f64) -> (String, Binding) {
        if let Some((_, text, latex)) = FRACTIONS.iter().find(|(fraction, ..)| *fraction == value) {
            // A fraction in LaTeX needs parentheses as the base of a power.
            let binding = if self == Notation::Latex { Binding::Power } else { Binding::Atom };
            return (self.pick(text, latex).into(), binding);
        }
        if value.is_nan() {
            return (self.pick("NaN", r"\mathrm{NaN}").into(), Binding::Atom);
        }
        if value.is_infinite() {
            let sign = if value < 0.0 { "-" } else { "" };
            return (format!("{sign}{}", self.pick("∞", r"\infty")), Binding::Atom);
        }
        let digits = format!("{value:?}");
        let digits = digits.strip_suffix(".0").unwrap_or(&digits);
        match (self, digits.split_once('e')) {
            (Notation::Latex, Some((factor, exponent))) => {
                (format!(r"{factor} \cdot 10^{{{exponent}}}"), Binding::Product)
            }
            _ => (digits.into(), Binding::Atom),
        }
    }

    /// Returns the name of an input, an output or a shared node.
    pub fn name(self, name: &str) -> Fragment {
        let text = match (self, name) {
            (Notation::Text, "y_true") => "y".to_owned(),
            (Notation::Text, "y_pred") => "ŷ".to_owned(),
            (Notation::Text, _) => name.to_owned(),
            (Notation::Latex, "y_true") => "y".to_owned(),
            (Notation::Latex, "y_pred") => r"\hat{y}".to_owned(),
            (Notation::Latex, _) => latex_name(name),
        };
        Fragment::new(text, Binding::Atom)
    }
}

const FRACTIONS: [(f64, &str, &str); 3] =
    [(0.5, "½", r"\frac{1}{2}"), (0.25, "¼", r"\frac{1}{4}"), (0.75, "¾", r"\frac{3}{4}")];

fn latex_name(name: &str) -> String {
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(letter), None) if letter.is_ascii_alphabetic() => return letter.into(),
        _ => {}
    }
    let mut escaped = String::new();
    for character in name.chars() {
        match character {
            '\\' => escaped.push_str(r"\backslash{}"),
            '^' => escaped.push_str(r"\hat{}"),
            '~' => escaped.push_str(r"\sim{}"),
            '_' | '{' | '}' | '$' | '&' | '#' | '%' => escaped.extend(['\\', character]),
            character => escaped.push(character),
        }
    }
    format!(r"\mathrm{{{escaped}}}")
}
