//! Clipping of gradients: the setting, and clipping by norm. Plug-ins clip by value.

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// No clipping.
    None,
    /// Clips each gradient's norm.
    Norm(f64),
    /// Clips the norm of all gradients together.
    GlobalNorm(f64),
    /// Clips each element.
    Value(f64),
}

impl Clip {
    /// Returns the bound to which each element is clipped; infinity if elements aren't clipped.
    pub fn value(self) -> f64 {
        if let Clip::Value(value) = self { value } else { f64::INFINITY }
    }

    /// Clips by norm: multiplies `scales` by the factor that shortens each scaled gradient to the maximum norm.
    pub fn by_norm(self, gradients: &[Option<&[f32]>], scales: &mut [f64]) {
        let sum_of_squares = |gradient: &[f32]| {
            gradient.iter().map(|&derivative| f64::from(derivative) * f64::from(derivative)).sum::<f64>()
        };
        let factor = |norm: f64, max_norm: f64| if norm > max_norm { max_norm / norm } else { 1.0 };
        let pairs = gradients.iter().zip(scales.iter_mut());
        match self {
            Clip::None | Clip::Value(_) => {}
            Clip::Norm(max_norm) => {
                for (gradient, scale) in pairs {
                    if let Some(gradient) = gradient {
                        *scale *= factor(sum_of_squares(gradient).sqrt() * *scale, max_norm);
                    }
                }
            }
            Clip::GlobalNorm(max_norm) => {
                let all: f64 =
                    pairs.filter_map(|(gradient, scale)| Some(sum_of_squares((*gradient)?) * *scale * *scale)).sum();
                let factor = factor(all.sqrt(), max_norm);
                scales.iter_mut().for_each(|scale| *scale *= factor);
            }
        }
    }
}
