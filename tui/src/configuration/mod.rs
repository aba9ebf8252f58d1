//! What the dashboard begins with: `alloc-top.toml` in the user's configuration folder, as far as the command line does not say otherwise.
//! The key `W` writes it.
//!
//! Printed output takes nothing from it: what a script sees depends on its command line alone.
//!
//! | module | what lies there |
//! |---|---|
//! | [`mod@file`] | where it lies, how it is read, and written without losing what others wrote into it |

pub mod file;

use crate::filter::Filter;
use crate::history::Window;
use crate::screen::order::{Order, SortColumn};
use crate::screen::theme::Colour;
use crate::screen::view::View;
use crate::units::Units;
use clap::ValueEnum;
use toml_edit::Value;

/// The keys that mean something.
pub const KEYS: [&str; 11] =
    ["view", "sort", "reversed", "tree", "window", "refresh_ms", "units", "filter", "mouse", "ascii", "color"];

/// What somebody set; `None`: he did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The view that is shown first.
    pub view: Option<View>,
    /// What processes are sorted by.
    pub sort: Option<SortColumn>,
    /// The other way round.
    pub reversed: Option<bool>,
    /// Processes stand under those that started them.
    pub tree: Option<bool>,
    /// How much of the past graphs show.
    pub window: Option<Window>,
    /// Time between two looks, ms.
    pub refresh_ms: Option<u64>,
    /// What bytes are counted in.
    pub units: Option<Units>,
    /// What is shown.
    pub filter: Option<Filter>,
    /// The mouse is the dashboard's.
    pub mouse: Option<bool>,
    /// ASCII only.
    pub ascii: Option<bool>,
    /// When to use colours.
    pub color: Option<Colour>,
}

impl Settings {
    /// The same, and of the others what is not set in it.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        // An order is one thing: a column from here is not turned round from there.
        let reversed = if self.sort.is_some() { self.reversed } else { self.reversed.or(others.reversed) };
        Self {
            view: self.view.or(others.view),
            sort: self.sort.or(others.sort),
            reversed,
            tree: self.tree.or(others.tree),
            window: self.window.or(others.window),
            refresh_ms: self.refresh_ms.or(others.refresh_ms),
            units: self.units.or(others.units),
            filter: self.filter.or(others.filter),
            mouse: self.mouse.or(others.mouse),
            ascii: self.ascii.or(others.ascii),
            color: self.color.or(others.color),
        }
    }

    /// Of an order that was asked for.
    #[must_use]
    pub fn sorted(self, order: Option<Order>) -> Self {
        Self { sort: order.map(|order| order.column), reversed: order.map(|order| order.reversed), ..self }
    }

    /// The order; `None`: no column is set.
    pub fn order(&self) -> Option<Order> {
        self.sort.map(|column| Order { column, reversed: self.reversed.unwrap_or(false) })
    }

    /// Takes in what stands behind a key.
    ///
    /// # Errors
    /// What would be understood.
    fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let text = || value.as_str().ok_or_else(|| "a text in quotes".to_owned());
        let flag = || value.as_bool().ok_or_else(|| "true or false".to_owned());
        match key {
            "view" => self.view = Some(one_of(text()?, &View::ALL, View::name)?),
            "sort" => self.sort = Some(one_of(text()?, &SortColumn::ALL, SortColumn::name)?),
            "reversed" => self.reversed = Some(flag()?),
            "tree" => self.tree = Some(flag()?),
            "window" => self.window = Some(one_of(text()?, &Window::ALL, Window::name)?),
            "mouse" => self.mouse = Some(flag()?),
            "refresh_ms" => {
                let most = i64::try_from(crate::top::MOST_REFRESH_MS).unwrap_or(i64::MAX);
                let least = i64::try_from(crate::top::LEAST_REFRESH_MS).unwrap_or(0);
                let asked = value.as_integer().filter(|ms| (least..=most).contains(ms));
                let ms = asked.and_then(|ms| u64::try_from(ms).ok());
                self.refresh_ms = Some(ms.ok_or_else(|| format!("a number from {least} to {most}"))?);
            }
            "units" => self.units = Some(one_of(text()?, Units::value_variants(), Units::name)?),
            "filter" => self.filter = Some(Filter::parse(text()?)?),
            "ascii" => self.ascii = Some(flag()?),
            "color" => self.color = Some(one_of(text()?, Colour::value_variants(), Colour::name)?),
            _ => return Err(format!("not a key; there are {}", KEYS.join(" "))),
        }
        Ok(())
    }

    /// What is set, by its keys.
    fn values(&self) -> Vec<(&'static str, Value)> {
        let ms = self.refresh_ms.and_then(|ms| i64::try_from(ms).ok());
        let all: [(&str, Option<Value>); KEYS.len()] = [
            ("view", self.view.map(|view| view.name().into())),
            ("sort", self.sort.map(|column| column.name().into())),
            ("reversed", self.reversed.map(Value::from)),
            ("tree", self.tree.map(Value::from)),
            ("window", self.window.map(|window| window.name().into())),
            ("refresh_ms", ms.map(Value::from)),
            ("units", self.units.map(|units| units.name().into())),
            ("filter", self.filter.as_ref().map(|filter| filter.text().into())),
            ("mouse", self.mouse.map(Value::from)),
            ("ascii", self.ascii.map(Value::from)),
            ("color", self.color.map(|colour| colour.name().into())),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// The one with this name.
fn one_of<T: Copy, N: AsRef<str>>(text: &str, all: &[T], name: impl Fn(T) -> N) -> Result<T, String> {
    let found = all.iter().copied().find(|one| name(*one).as_ref() == text);
    found.ok_or_else(|| all.iter().map(|one| name(*one).as_ref().to_owned()).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
