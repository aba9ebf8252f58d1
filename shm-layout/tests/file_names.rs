//! Any text against the names of files and prefixes; what was named comes back.

mod support;

use proptest::prelude::*;
use shm_layout::names::{Prefix, ProcessFile, Role};
use support::cases::config;

proptest! {
    #![proptest_config(config(400))]

    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn file_names_come_back(uid in any::<u32>(), pid in any::<u32>(), nonce in any::<u64>(), role in 0_usize..3, prefix in "[A-Za-z0-9_-]{1,64}") {
        let prefix = Prefix::new(&prefix).expect("such prefixes are allowed");
        let role = [Role::Ring, Role::Ledger, Role::Stacks][role];
        let file = ProcessFile { role, uid, pid, nonce };
        prop_assert_eq!(ProcessFile::parse(&file.name(&prefix), &prefix), Some(file));
        prop_assert_eq!(file.of_role(Role::Ledger).of_role(role), file);
        prop_assert!(!file.name(&prefix).contains('/') && file.name(&prefix).len() < 255);
    }

    /// Whatever is taken for one of our files has exactly the name that we would have given it.
    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn any_string_is_a_file_name_or_not(text in prop_oneof![
        any::<String>(),
        "tt_alloc\\.(ring|ledger|rin)\\.[0-9+-]{0,11}\\.[0-9 ]{0,11}\\.[0-9a-fA-F+]{0,17}\\.?",
        "tt_alloc\\.ring\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9a-f]{16}",
    ]) {
        let prefix = Prefix::default();
        if let Some(file) = ProcessFile::parse(&text, &prefix) {
            prop_assert_eq!(file.name(&prefix), text);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "safe code only, and regular expressions take miri minutes")]
    fn any_prefix_is_safe_or_refused(text in prop_oneof![any::<String>(), "[A-Za-z0-9_./-]{0,70}"]) {
        if let Ok(prefix) = Prefix::new(&text) {
            prop_assert!(!prefix.stats().contains('/') && !text.contains('.') && text.len() <= 64);
        }
    }
}
