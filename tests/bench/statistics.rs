//! Several measurements of one thing → their median and spread.

/// Median, least and most.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        Self {
            median: quantile(&values, 0.5),
            least: values[0],
            most: values[values.len() - 1],
        }
    }

    /// What was not measured several times.
    pub fn exactly(value: f64) -> Self {
        Self::of([value])
    }

    /// `median (least to most)`.
    pub fn text(&self) -> String {
        let median = short(self.median);
        let (least, most) = (short(self.least), short(self.most));
        if least == most {
            median
        } else {
            format!("{median} ({least} to {most})")
        }
    }
}

pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which this part of the sorted values is.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(last as f64 * part).round() as usize]
}

/// A number with as many digits as it deserves.
pub fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
