//! Bytes to messages and back: what the versions share. Pure.

use bytes::{BufMut, BytesMut};
use nom::Parser;

use crate::error::{Broken, DecodeError, EncodeError, Problem};
use crate::frame::Header;
use crate::model::{ErrorCode, ErrorMessage, Hello, Message, Opaque, SwitchConfig};
use crate::types::{Version, Xid};
use crate::wire::{Parsed, block, fail, fixed, pad8, round8, with_length};
use crate::{v10, v13};

fixed! {
    /// `ofp_header` (1.3.5 §7.1).
    OfpHeader { version: u8, kind: u8, length: u16, xid: u32, }
    /// `ofp_error_msg` (§7.4.4).
    OfpError { kind: u16, code: u16, }
    /// `ofp_switch_config` (§7.3.2).
    OfpSwitchConfig { flags: u16, miss_send_len: u16, }
    /// `ofp_hello_elem_header` (§7.5.1).
    OfpHelloElement { kind: u16, length: u16, }
}

/// Decodes exactly one message, as [`crate::next_frame`] cuts it. Total: any bytes give a message or
/// an error. A type that is not modelled for the version, and every body of a version other than 1.0
/// and 1.3 but hello, error and echo, is kept as [`Message::Opaque`].
///
/// # Errors
/// [`DecodeError`] names message, field and offset.
pub fn decode(bytes: &[u8]) -> Result<(Header, Message<'_>), DecodeError> {
    let error = |message, header: Option<Header>, broken: Broken| DecodeError {
        message,
        version: header.map_or(Version(bytes.first().copied().unwrap_or(0)), |h| h.version),
        xid: header.map(|h| h.xid),
        field: broken.field,
        offset: broken.at.saturating_sub(bytes.as_ptr() as usize),
        problem: broken.problem,
        part: broken.part,
    };
    let inner = |e: nom::Err<Broken>| match e {
        nom::Err::Error(broken) | nom::Err::Failure(broken) => broken,
        // Complete parsers never ask for more.
        nom::Err::Incomplete(_) => Broken::new(bytes, "message", Problem::Truncated),
    };
    let (body, head) = OfpHeader::parse(bytes).map_err(|e| error("message", None, inner(e)))?;
    let header = Header {
        version: Version(head.version),
        kind: head.kind,
        length: head.length,
        xid: Xid(head.xid),
    };
    if usize::from(head.length) != bytes.len() {
        let broken = Broken::new(&bytes[2..], "length", Problem::Length(head.length.into()));
        return Err(error("message", Some(header), broken));
    }
    let message = body_of(header, body)
        .map_err(|e| error(name(header.version, header.kind), Some(header), inner(e)))?;
    Ok((header, message))
}

fn body_of(header: Header, body: &[u8]) -> Result<Message<'_>, nom::Err<Broken>> {
    Ok(match header.kind {
        0 => Message::Hello(hello.parse(body)?.1),
        1 => {
            let (data, error) = OfpError::parse(body)?;
            let code = ErrorCode::new(error.kind, error.code);
            Message::Error(ErrorMessage { code, data: data.into() })
        }
        2 => Message::EchoRequest(body.into()),
        3 => Message::EchoReply(body.into()),
        kind => match header.version {
            Version::V1_0 => v10::decode_body(kind, body)?,
            Version::V1_3 => v13::decode_body(kind, body)?,
            _ => Message::Opaque(Opaque { kind, body: body.into() }),
        },
    })
}

fn hello(input: &[u8]) -> Parsed<'_, Hello> {
    let mut hello = Hello::default();
    let mut rest = input;
    while !rest.is_empty() {
        let at = rest;
        let (_, head) = OfpHelloElement::parse(at)?;
        let length = usize::from(head.length);
        if length < OfpHelloElement::SIZE || length > at.len() {
            return fail(&at[2..], "element.length", Problem::Length(head.length.into()));
        }
        let body = &at[OfpHelloElement::SIZE..length];
        // The last element may lack its padding.
        rest = &at[round8(length).min(at.len())..];
        if head.kind == 1
            && hello.versions.is_none()
            && hello.others.is_empty()
            && body.len().is_multiple_of(4)
        {
            let words = body.chunks_exact(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]));
            hello.versions = Some(words.collect());
        } else {
            hello.others.push((head.kind, body.to_vec()));
        }
    }
    Ok((rest, hello))
}

/// Appends a message to `out`. On an error `out` is as it was.
///
/// # Errors
/// What the version cannot express, never silently dropped.
pub fn encode(
    version: Version,
    xid: Xid,
    message: &Message<'_>,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let start = out.len();
    let written = with_length(out, 2, "message", |out| {
        let kind_at = out.len() + 1;
        OfpHeader { version: version.0, kind: 0, length: 0, xid: xid.0 }.write(out);
        out[kind_at] = encode_body(version, message, out)?;
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn encode_body(
    version: Version,
    message: &Message<'_>,
    out: &mut BytesMut,
) -> Result<u8, EncodeError> {
    Ok(match message {
        Message::Hello(hello) => {
            put_hello(hello, out)?;
            0
        }
        Message::Error(error) => {
            OfpError { kind: error.code.kind(), code: error.code.code() }.write(out);
            out.put_slice(&error.data);
            1
        }
        Message::EchoRequest(data) => {
            out.put_slice(data);
            2
        }
        Message::EchoReply(data) => {
            out.put_slice(data);
            3
        }
        Message::Opaque(opaque) => {
            out.put_slice(&opaque.body);
            opaque.kind
        }
        message => match version {
            Version::V1_0 => v10::encode_body(message, out)?,
            Version::V1_3 => v13::encode_body(message, out)?,
            other => return Err(EncodeError::Version(other)),
        },
    })
}

fn put_hello(hello: &Hello, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    let mut element = |kind: u16, body: &[u8]| {
        let length = u16::try_from(OfpHelloElement::SIZE + body.len())
            .map_err(|_| EncodeError::TooLong { what: "hello element" })?;
        OfpHelloElement { kind, length }.write(out);
        out.put_slice(body);
        pad8(out, start);
        Ok(())
    };
    if let Some(words) = &hello.versions {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        element(1, &body)?;
    }
    for (kind, body) in &hello.others {
        element(*kind, body)?;
    }
    Ok(())
}

pub(crate) fn parse_config(body: &[u8]) -> Parsed<'_, SwitchConfig> {
    let (rest, config) = OfpSwitchConfig::parse(body)?;
    let flags = crate::model::ConfigFlags(config.flags);
    Ok((rest, SwitchConfig { flags, miss_send_len: config.miss_send_len }))
}

pub(crate) fn put_config(config: &SwitchConfig, out: &mut BytesMut) {
    OfpSwitchConfig { flags: config.flags.0, miss_send_len: config.miss_send_len }.write(out);
}

pub(crate) fn parse_experimenter(body: &[u8]) -> Parsed<'_, Message<'_>> {
    let (body, id) = block(4, "experimenter", body)?;
    let experimenter = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
    Ok((&[], Message::Experimenter { experimenter, body: body.into() }))
}

/// The end of a message that has no variable part.
pub(crate) fn ended(rest: &[u8]) -> Result<(), nom::Err<Broken>> {
    match rest.len() {
        0 => Ok(()),
        n => fail(rest, "end", Problem::Trailing(n as u32)),
    }
}

/// The specification's name of a message type.
pub fn name(version: Version, kind: u8) -> &'static str {
    const COMMON: [&str; 15] = [
        "OFPT_HELLO",
        "OFPT_ERROR",
        "OFPT_ECHO_REQUEST",
        "OFPT_ECHO_REPLY",
        "OFPT_EXPERIMENTER",
        "OFPT_FEATURES_REQUEST",
        "OFPT_FEATURES_REPLY",
        "OFPT_GET_CONFIG_REQUEST",
        "OFPT_GET_CONFIG_REPLY",
        "OFPT_SET_CONFIG",
        "OFPT_PACKET_IN",
        "OFPT_FLOW_REMOVED",
        "OFPT_PORT_STATUS",
        "OFPT_PACKET_OUT",
        "OFPT_FLOW_MOD",
    ];
    const V10: [&str; 7] = [
        "OFPT_PORT_MOD",
        "OFPT_STATS_REQUEST",
        "OFPT_STATS_REPLY",
        "OFPT_BARRIER_REQUEST",
        "OFPT_BARRIER_REPLY",
        "OFPT_QUEUE_GET_CONFIG_REQUEST",
        "OFPT_QUEUE_GET_CONFIG_REPLY",
    ];
    const V13: [&str; 15] = [
        "OFPT_GROUP_MOD",
        "OFPT_PORT_MOD",
        "OFPT_TABLE_MOD",
        "OFPT_MULTIPART_REQUEST",
        "OFPT_MULTIPART_REPLY",
        "OFPT_BARRIER_REQUEST",
        "OFPT_BARRIER_REPLY",
        "OFPT_QUEUE_GET_CONFIG_REQUEST",
        "OFPT_QUEUE_GET_CONFIG_REPLY",
        "OFPT_ROLE_REQUEST",
        "OFPT_ROLE_REPLY",
        "OFPT_GET_ASYNC_REQUEST",
        "OFPT_GET_ASYNC_REPLY",
        "OFPT_SET_ASYNC",
        "OFPT_METER_MOD",
    ];
    let kind = usize::from(kind);
    let later: &[&str] = if version == Version::V1_0 { &V10 } else { &V13 };
    match kind {
        4 if version == Version::V1_0 => "OFPT_VENDOR",
        0..15 => COMMON[kind],
        _ => later.get(kind - 15).copied().unwrap_or("message of unknown type"),
    }
}
