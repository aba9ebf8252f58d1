//! What leaks in stock ttnn is found, and what does not is not.

use crate::suite::{Session, provisioned};

with_ttnn! {
    /// One tensor kept an iteration.
    fn a_loop_that_keeps_a_tensor_is_found(session on "p150") {
        // A look at an aggregator that is being replaced says so, and compares less.
        session.restless = None;
        session.start_aggregator();
        let ended = session.run(&["leaks.py"]);
        ended.must_succeed();
        assert!(ended.line("FOUND").contains("grew at every one of 5 looks"), "{}", ended.out);
        session.wait_until_nothing_is_held();
    }
}
