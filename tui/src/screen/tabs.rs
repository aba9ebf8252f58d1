//! The second line: the views, and which one this is.

use super::canvas::{put, span};
use super::dashboard::Dashboard;
use super::view::View;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// From this height on there is a line for it.
pub const FROM_HEIGHT: u16 = 20;

/// Draws it: with names where they fit, with short ones, or with the name of this view alone.
pub fn draw(buffer: &mut Buffer, area: Rect, dashboard: &Dashboard) {
    let theme = dashboard.theme;
    let width = usize::from(area.width);
    let here = dashboard.view;
    let line = |name: &dyn Fn(View) -> &'static str, behind: &str| {
        let mut line = Line::default();
        for (number, view) in (1..).zip(View::ALL) {
            let (digit, word) =
                if view == here { (theme.selected(), theme.selected()) } else { (theme.key(), theme.dim()) };
            let name = name(view);
            line.spans.push(span(format!(" {number}"), digit));
            line.spans.push(span(if name.is_empty() { " ".to_owned() } else { format!(" {name}{behind}") }, word));
        }
        line
    };
    let forms = [line(&View::name, " "), line(&View::short_name, "")];
    let fitting = forms.into_iter().find(|line| line.width() <= width);
    let fitting = fitting.unwrap_or_else(|| line(&|view| if view == here { view.name() } else { "" }, " "));
    let mut x = area.x;
    let mut drawn = dashboard.drawn.tabs.borrow_mut();
    for (of_view, view) in fitting.spans.chunks(2).zip(View::ALL) {
        let width = of_view.iter().map(Span::width).sum::<usize>() as u16;
        drawn.push((Rect { x, width, ..area }, view));
        x = x.saturating_add(width);
    }
    put(buffer, area, 0, &fitting);
}
