//! Bars side by side, as an SVG file that pages show.

use std::fmt::Write as _;

use super::statistics::short;

/// One thing that was measured, of each program in order.
pub struct Group {
    pub name: String,
    pub unit: &'static str,
    pub values: Vec<f64>,
}

const COLOURS: [&str; 5] = ["#2563eb", "#93c5fd", "#d97706", "#9ca3af", "#16a34a"];
const WIDTH: usize = 760;
const LEFT: usize = 250;
/// Of the longest bar. The rest is for its number.
const LONGEST: f64 = 400.0;
const BAR: usize = 14;

/// Each group has a scale of its own, because units differ. So bars are compared within a group only.
pub fn bars(title: &str, programs: &[&str], groups: &[Group]) -> String {
    let group_height = programs.len() * BAR + 14;
    let top = 56;
    let height = top + groups.len() * group_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n"
    );
    for (index, program) in programs.iter().enumerate() {
        let (x, colour) = (12 + index * 148, COLOURS[index]);
        writeln!(
            svg,
            "<rect x=\"{x}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"41\">{program}</text>",
            x + 15
        )
        .unwrap();
    }
    for (index, group) in groups.iter().enumerate() {
        let y = top + index * group_height;
        let middle = y + programs.len() * BAR / 2 + 4;
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>",
            LEFT - 8,
            group.name
        )
        .unwrap();
        let most = group.values.iter().copied().fold(0.0, f64::max);
        for (index, value) in group.values.iter().enumerate() {
            let (y, colour) = (y + index * BAR, COLOURS[index]);
            let length = (value / most * LONGEST).max(1.0);
            writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{} {}</text>",
                BAR - 2,
                LEFT as f64 + length + 5.0,
                y + BAR - 4,
                short(*value),
                group.unit
            )
            .unwrap();
        }
    }
    svg + "</svg>\n"
}
