//! The tree and the two scanners agree on what JSON is.
#![no_main]

use dialect::{Value, members, peek, validate};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let read = Value::read(data);
    assert_eq!(read.is_ok(), validate(data).is_ok(), "one reads what the other refuses");
    let told = members(data, |member| {
        assert!(data.get(member.value).is_some(), "a member outside of its text");
    });
    let is_object = read.is_ok_and(|value| value.is_object());
    assert_eq!(told.is_ok(), is_object, "members are those of an object");
    let _ = peek(data);
});
