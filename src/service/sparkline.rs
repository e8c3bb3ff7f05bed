//! Numbers as columns of characters, each with a label written downwards below it.

/// Rows of the columns; the labels come below.
const ROWS: usize = 4;
/// What the top of a column looks like, by how much of its row it fills.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// Columns from the least to the greatest number, so many in a line. A line has rows for the columns, an empty one, and
/// as many as its longest label needs.
pub fn filled(columns: &[(u64, String)], width: usize) -> String {
    let numbers = || columns.iter().map(|(number, _)| *number);
    let (least, most) = (numbers().min().unwrap_or(0), numbers().max().unwrap_or(0));
    let steps = (ROWS * TOPS.len()) as u64;
    let height = |number: u64| ((number - least) * steps / (most - least).max(1)).min(steps - 1) as usize;
    let mut lines = Vec::new();
    for part in columns.chunks(width.max(1)) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for row in 0..ROWS {
            let below = (ROWS - row - 1) * TOPS.len();
            let cell = |(number, _): &(u64, String)| match height(*number).checked_sub(below) {
                None => ' ',
                Some(over) => TOPS.get(over).copied().unwrap_or('|'),
            };
            lines.push(part.iter().map(cell).collect());
        }
        lines.push(" ".repeat(part.len()));
        let longest = part.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
        for at in 0..longest {
            lines.push(part.iter().map(|(_, label)| label.chars().nth(at).unwrap_or(' ')).collect());
        }
    }
    lines.into_iter().map(|line: String| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_low_and_long_rows_are_broken() {
        let columns = |count: u64| (0..count).map(|_| (7, "1s".to_string())).collect::<Vec<_>>();
        assert_eq!(filled(&columns(2), 80), "  \n  \n  \n__\n  \n11\nss\n");
        let drawn = filled(&columns(3), 2);
        assert_eq!(drawn.lines().filter(|line| *line == "ss").count(), 1, "{drawn}");
        assert!(drawn.contains("\nss\n\n"), "{drawn}");
        assert_eq!(filled(&[], 80), "");
    }
}
