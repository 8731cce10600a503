//! A curve as one line of text (sparkline). Prints nothing; the plots of the page are in `page/chart.rs`.

use console::Term;

use super::log_reader::Log;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Widest curve.
const MOST_COLUMNS: usize = 48;

/// The training loss from the first step to the last, as wide as the terminal allows; `None` without any.
#[must_use]
pub fn loss_line(log: &Log) -> Option<String> {
    let losses: Vec<f64> = log.steps.iter().filter_map(|step| step.loss).collect();
    let columns = Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns));
    let curve = sparkline(&losses, columns.saturating_sub("training loss 0.000  0.000".len()).min(MOST_COLUMNS))?;
    let ends = [losses.first()?, losses.last()?];
    Some(format!("training loss {:.3} {curve} {:.3}", ends[0], ends[1]))
}

/// The means of up to `columns` equally long parts; `None` where there is nothing to draw, or no room.
fn sparkline(values: &[f64], columns: usize) -> Option<String> {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let columns = columns.min(values.len());
    let part = |column: usize| &values[column * values.len() / columns..(column + 1) * values.len() / columns];
    let means: Vec<f64> = (0..columns).map(part).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let block = |mean: &f64| match most - least {
        0.0 => BLOCKS[3],
        range => BLOCKS[(7.0 * (mean - least) / range).round() as usize],
    };
    (columns > 1).then(|| means.iter().map(block).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_as_the_values_do_and_is_as_wide_as_asked() {
        let falling: Vec<f64> = (0..1000).map(|step| 1.0 / f64::from(step + 10)).collect();
        let line = sparkline(&falling, 20).unwrap();
        let blocks: Vec<char> = line.chars().collect();
        assert_eq!((blocks.len(), blocks[0], blocks[19]), (20, '█', '▁'));
        assert!(blocks.is_sorted_by(|a, b| a >= b), "{line}");
        assert_eq!(sparkline(&[1.0, f64::NAN, 2.0], 20).as_deref(), Some("▁█"));
        assert_eq!(sparkline(&[0.5; 3], 20).as_deref(), Some("▄▄▄"));
        assert_eq!((sparkline(&[1.0], 20), sparkline(&falling, 0)), (None, None));
    }
}
