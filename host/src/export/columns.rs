//! The columns of a table as inputs of an ONNX model, and their encoding as features.

use super::graph::{Attribute, Element, Graph, Value};
use crate::data::{Encoding, LearntColumn, MissingValue, missing_words};

/// Returns the type of the input for a column: strings for categories, and float64 for numbers, booleans (0 and 1) and
/// dates (seconds since 1970), because the encoding is computed in float64.
fn element(column: &LearntColumn) -> Element {
    if column.categories().is_some() { Element::String } else { Element::Double }
}

/// Adds an input `[N, 1]` for each column, and returns the features `[N, F]` of all columns in float32.
pub fn add_columns(graph: &mut Graph, columns: &[LearntColumn]) -> Value {
    let mut features = Vec::new();
    for column in columns {
        let about = match (&column.encoding, column.categories()) {
            (_, Some(_)) => "a category; missing: an empty string",
            (Encoding::Cyclic { .. }, _) => "seconds since 1970-01-01T00:00:00 UTC; missing: NaN",
            _ => "a number; missing: NaN",
        };
        let input = graph.input(&column.name, element(column), &[1], about);
        add_column(graph, column, &input, &mut features);
    }
    graph.concat(&features)
}

/// Adds the features of a column: as `LearntColumn::push_features`. Where that is an error because of a missing value,
/// they are NaN.
fn add_column(graph: &mut Graph, column: &LearntColumn, input: &Value, features: &mut Vec<Value>) {
    let raw = match column.categories() {
        Some(categories) => add_category_ids(graph, categories, input),
        None => input.clone(),
    };
    let mut value = raw.clone();
    let mut indicator = None;
    if let MissingValue::Fill { value: fill, indicator: has_indicator } = column.missing {
        let is_missing = graph.apply("IsNaN", &[&raw]);
        let fill = number(graph, element(column), fill);
        value = graph.apply("Where", &[&is_missing, &fill, &raw]);
        indicator = has_indicator.then(|| graph.cast(&is_missing, Element::Float));
    }
    match &column.encoding {
        Encoding::Number { shift, factor, .. } => features.push(add_scaled(graph, &value, *shift, *factor)),
        Encoding::OneHot { categories } if categories.is_empty() => {}
        Encoding::OneHot { categories } => {
            let ids: Vec<f32> = (1..=categories.len()).map(|id| id as f32).collect();
            let ids = graph.floats("ids", &[1, ids.len()], &ids);
            let is_category = graph.apply("Equal", &[&value, &ids]);
            let mut one_hot = graph.cast(&is_category, Element::Float);
            if column.missing == MissingValue::Error {
                let zero_or_nan = graph.apply("Sub", &[&value, &value]);
                one_hot = graph.apply("Add", &[&one_hot, &zero_or_nan]);
            }
            features.push(one_hot);
        }
        Encoding::Embedding { .. } => features.push(value),
        Encoding::Cyclic { shift, factor, times } => add_date(graph, &value, (*shift, *factor), *times, features),
    }
    features.extend(indicator);
}

/// Adds a constant of the type of a column's raw numbers: float64, or float32 for the ids of categories.
fn number(graph: &mut Graph, element: Element, value: f64) -> Value {
    if element == Element::Double { graph.double(value) } else { graph.float(value as f32) }
}

/// Maps strings to 1 + the index of the category, 0 for others, and NaN for missing values.
fn add_category_ids(graph: &mut Graph, categories: &[String], input: &Value) -> Value {
    let ids = categories.iter().cloned().zip((1..=categories.len()).map(|id| id as f32));
    // In a Parquet file, such a word can be a category.
    let missing = missing_words().into_iter().filter(|word| !categories.contains(word)).map(|word| (word, f32::NAN));
    let (keys, values) = ids.chain(missing).unzip();
    let settings = [
        ("keys_strings", Attribute::Strings(keys)),
        ("values_floats", Attribute::Floats(values)),
        ("default_float", Attribute::Float(0.0)),
    ];
    graph.apply_with("LabelEncoder", &[input], &settings)
}

/// Adds `(value - shift) * factor`, computed in float64, as float32.
fn add_scaled(graph: &mut Graph, value: &Value, shift: f64, factor: f64) -> Value {
    let mut value = value.clone();
    if shift != 0.0 {
        let shift = graph.double(shift);
        value = graph.apply("Sub", &[&value, &shift]);
    }
    if factor != 1.0 {
        let factor = graph.double(factor);
        value = graph.apply("Mul", &[&value, &factor]);
    }
    graph.cast(&value, Element::Float)
}

/// Adds the features of a date in seconds since 1970: the scaled year, and the sine and cosine of the month, the day of
/// the week and, with `times`, the time of day.
fn add_date(graph: &mut Graph, seconds: &Value, (shift, factor): (f64, f64), times: bool, features: &mut Vec<Value>) {
    const DAY: f64 = 86_400.0;
    let mut calendar = Calendar { graph };
    let seconds_floor = calendar.graph.apply("Floor", &[seconds]);
    let days = calendar.quotient(&seconds_floor, DAY);
    let (year, month) = calendar.year_and_month(&days);
    // 1970-01-01 was a Thursday, 3 days after a Monday.
    let since_monday = calendar.linear(&days, 1.0, 3.0);
    let weekday = calendar.remainder(&since_monday, 7.0);
    let mut turns = vec![calendar.linear(&month, 1.0 / 12.0, 0.0), calendar.linear(&weekday, 1.0 / 7.0, 0.0)];
    if times {
        let time = calendar.remainder(seconds, DAY);
        turns.push(calendar.linear(&time, 1.0 / DAY, 0.0));
    }
    features.push(add_scaled(calendar.graph, &year, shift, factor));
    for turn in turns {
        // cos(a) = sin(a + π/2): the runtime has no cosine of float64.
        for quarter in [0.0, std::f64::consts::FRAC_PI_2] {
            let angle = calendar.linear(&turn, std::f64::consts::TAU, quarter);
            let sine = calendar.graph.apply("Sin", &[&angle]);
            features.push(calendar.graph.cast(&sine, Element::Float));
        }
    }
}

/// Arithmetic with whole numbers of float64.
struct Calendar<'g> {
    graph: &'g mut Graph,
}

impl Calendar<'_> {
    /// `value * factor + offset`
    fn linear(&mut self, value: &Value, factor: f64, offset: f64) -> Value {
        let mut value = value.clone();
        if factor != 1.0 {
            let factor = self.graph.double(factor);
            value = self.graph.apply("Mul", &[&value, &factor]);
        }
        if offset != 0.0 {
            let offset = self.graph.double(offset);
            value = self.graph.apply("Add", &[&value, &offset]);
        }
        value
    }

    /// `⌊value / divisor⌋`
    fn quotient(&mut self, value: &Value, divisor: f64) -> Value {
        let divisor = self.graph.double(divisor);
        let ratio = self.graph.apply("Div", &[value, &divisor]);
        self.graph.apply("Floor", &[&ratio])
    }

    /// `value - ⌊value / divisor⌋ divisor`
    fn remainder(&mut self, value: &Value, divisor: f64) -> Value {
        let quotient = self.quotient(value, divisor);
        let multiple = self.linear(&quotient, divisor, 0.0);
        self.graph.apply("Sub", &[value, &multiple])
    }

    /// The year, and the month from 0, of a day since 1970: the algorithm `civil_from_days` of Howard Hinnant,
    /// <https://howardhinnant.github.io/date_algorithms.html>. Years start in March there, and an era has 400 of them.
    fn year_and_month(&mut self, days: &Value) -> (Value, Value) {
        let days = self.linear(days, 1.0, 719_468.0);
        let era = self.quotient(&days, 146_097.0);
        let day_of_era = self.remainder(&days, 146_097.0);
        let mut leap_free = day_of_era.clone();
        for (divisor, operator) in [(1_460.0, "Sub"), (36_524.0, "Add"), (146_096.0, "Sub")] {
            let leaps = self.quotient(&day_of_era, divisor);
            leap_free = self.graph.apply(operator, &[&leap_free, &leaps]);
        }
        let year_of_era = self.quotient(&leap_free, 365.0);
        let mut day_of_year = day_of_era;
        let whole_years = self.linear(&year_of_era, 365.0, 0.0);
        day_of_year = self.graph.apply("Sub", &[&day_of_year, &whole_years]);
        for (divisor, operator) in [(4.0, "Sub"), (100.0, "Add")] {
            let leaps = self.quotient(&year_of_era, divisor);
            day_of_year = self.graph.apply(operator, &[&day_of_year, &leaps]);
        }
        let fifths = self.linear(&day_of_year, 5.0, 2.0);
        // 0 is March, 10 January.
        let shifted_month = self.quotient(&fifths, 153.0);
        let since_january = self.linear(&shifted_month, 1.0, 2.0);
        let month = self.remainder(&since_january, 12.0);
        let next_year = self.quotient(&since_january, 12.0);
        let years = self.linear(&era, 400.0, 0.0);
        let year = self.graph.apply("Add", &[&years, &year_of_era]);
        let year = self.graph.apply("Add", &[&year, &next_year]);
        (year, month)
    }
}
