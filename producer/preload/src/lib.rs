//! Hooks for stock tt-metal.

mod buffers;
mod chips;
mod devices;
mod getters;
mod guard;
mod next;
mod programs;
mod scopes;

/// Runs after the static destructors of everything that was loaded later.
extern "C" fn at_exit() {
    if guard::enabled() {
        guard::aside(producer::process::close);
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_EXIT: extern "C" fn() = at_exit;
