//! A frame inside a packet-in: reading it is total, and so is reading its LLDPDU.
#![no_main]

use libfuzzer_sys::fuzz_target;
use umlaut_openflow::lldp::Lldpdu;
use umlaut_openflow::packet::Headers;

fuzz_target!(|data: &[u8]| {
    let headers = Headers::parse(data);
    assert_eq!(Headers::parse(data), headers);
    if let Ok(lldpdu) = Lldpdu::parse(data) {
        let mut again = Vec::new();
        lldpdu.encode(&mut again).expect("parsed values fit");
        assert_eq!(Lldpdu::parse(&again), Ok(lldpdu));
    }
});
