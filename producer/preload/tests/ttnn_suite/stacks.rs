//! Call stacks of stock ttnn: from tt-metal's allocator up to the module that Python calls.

use crate::suite::{Session, Worker, provisioned};
use serde_json::Value;

with_ttnn! {
    /// The hooks are left out, functions have names, and the figures are as without stacks.
    fn call_stacks_lead_up_to_python(session on "p150") {
        session.environment.push(("TT_ALLOC_STACKS".into(), "32".into()));
        session.start_aggregator();
        let mut worker = Worker::start(session);
        worker.tell("alloc 6");
        worker.tell("operate");
        worker.tell("check with stacks");
        let told = session.tool(&["buffers", "--stacks", "--json", "--pid", &worker.pid.to_string()]);
        let told: Value = serde_json::from_str(&told).unwrap();
        let buffers = told["buffers"].as_array().unwrap();
        let of_job = |buffer: &&Value| buffer["system"] == false && ["DRAM", "L1"].contains(&buffer["memory"].as_str().unwrap());
        let buffers: Vec<&Value> = buffers.iter().filter(of_job).collect();
        assert!(buffers.len() >= 6, "{told}");
        for buffer in buffers {
            let frames = buffer["stack"].as_array().unwrap();
            let text = |frame: &Value, key: &str| frame[key].as_str().unwrap_or_default().to_owned();
            assert!(!text(&frames[0], "module").contains("libtt_alloc"), "{frames:?}");
            let allocates = |frame: &Value| text(frame, "function").contains("tt::tt_metal::Buffer");
            let extension = |frame: &Value| text(frame, "module").rsplit('/').next().unwrap().starts_with("_ttnn.");
            let (inner, outer) = (frames.iter().position(allocates), frames.iter().position(extension));
            assert!(inner.zip(outer).is_some_and(|(inner, outer)| inner < outer), "{frames:#?}");
        }
        let folded = session.tool(&["stacks", "--folded"]);
        assert!(folded.contains("tt::tt_metal::Buffer"), "{folded}");
        worker.finish();
        session.wait_until_nothing_is_held();
    }
}
