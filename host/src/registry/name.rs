//! How a name that somebody wrote fits a component's names.

use crate::plugin::{Component, Kind};

/// How well a name fits; the least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Name,
    Alias,
    /// The name in snake case; of an optimizer in another case.
    Spelling,
}

/// Whether a name stands for the component. As in Keras, an optimizer's letters may be of any case; elsewhere they matter,
/// and the snake-case form of a name stands for it.
pub(super) fn fit(component: &Component, kind: Kind, written: &str) -> Option<Fit> {
    if component.name == written {
        return Some(Fit::Name);
    }
    if component.aliases.iter().any(|alias| alias == written) {
        return Some(Fit::Alias);
    }
    let other_spelling = match kind {
        Kind::Optimizer => {
            component.name.eq_ignore_ascii_case(written)
                || component.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(written))
        }
        _ => snake_case(&component.name) == written,
    };
    other_spelling.then_some(Fit::Spelling)
}

/// A class's name as Keras writes it in lower case: `MeanIoU` is "mean_io_u", `AUC` is "auc", `R2Score` is "r2_score".
pub fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut snake = String::with_capacity(letters.len() + 4);
    for (i, &letter) in letters.iter().enumerate() {
        if i > 0 && letter.is_ascii_uppercase() {
            let before = letters[i - 1];
            let begins_a_word = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if before.is_ascii_lowercase() || begins_a_word {
                snake.push('_');
            }
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_snake_case_are_keras_s() {
        for (name, snake) in [
            ("MeanSquaredError", "mean_squared_error"),
            ("AUC", "auc"),
            ("CTC", "ctc"),
            ("IoU", "io_u"),
            ("MeanIoU", "mean_io_u"),
            ("OneHotMeanIoU", "one_hot_mean_io_u"),
            ("R2Score", "r2_score"),
            ("F1Score", "f1_score"),
            ("FBetaScore", "f_beta_score"),
            ("KLDivergence", "kl_divergence"),
            ("RMSprop", "rm_sprop"),
            ("AdamW", "adam_w"),
            ("ScheduleFreeAdamW", "schedule_free_adam_w"),
            ("TopKCategoricalAccuracy", "top_k_categorical_accuracy"),
            ("mse", "mse"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }
}
