//! Where switches connect: ports, plain or with TLS. Runtime.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use tracing::warn;
use umlaut_controller::runtime::{Listener, Tls, TlsFiles};

use super::super::Failure;
use super::super::input::{self, PEM_BYTES};

/// The port of OpenFlow (IANA).
const PORT: u16 = 6653;

/// How bytes come through a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transport {
    Tcp,
    Ssl,
}

/// A value of `--listen`, written as Open vSwitch writes a controller: `ssl:ADDR:PORT`,
/// `tcp:ADDR:PORT`. Without a prefix it is TLS if there are certificates, else plain TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    transport: Option<Transport>,
    address: SocketAddr,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let (transport, address) = match text.split_once(':') {
            Some(("tcp", rest)) => (Some(Transport::Tcp), rest),
            Some(("ssl", rest)) => (Some(Transport::Ssl), rest),
            _ => (None, text),
        };
        match address.parse() {
            Ok(address) => Ok(Endpoint { transport, address }),
            Err(_) => Err("not ADDR:PORT, tcp:ADDR:PORT or ssl:ADDR:PORT".to_owned()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Some(Transport::Tcp) => f.write_str("tcp:")?,
            Some(Transport::Ssl) => f.write_str("ssl:")?,
            None => {}
        }
        self.address.fmt(f)
    }
}

/// The files for TLS: all three or none.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TlsArgs {
    /// The controller's certificate, in PEM form; with it --listen is TLS unless it begins with tcp:
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    tls_key: Option<PathBuf>,
    /// Who issues the certificates of switches
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    tls_ca: Option<PathBuf>,
}

impl TlsArgs {
    fn files(&self) -> Option<TlsFiles> {
        match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (Some(certificate), Some(key), Some(ca)) => Some(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: ca.clone(),
            }),
            _ => None,
        }
    }
}

/// Open ports.
pub(super) struct Open {
    pub(super) listeners: Vec<Listener>,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Opens the ports that were asked for, or the usual one.
///
/// # Errors
/// [`Failure`] for arguments that contradict each other and files that cannot be used; an address
/// that cannot be listened on.
pub(super) async fn open(given: &[Endpoint], tls: &TlsArgs, in_lab: bool) -> anyhow::Result<Open> {
    let files = tls.files();
    let endpoints = resolve(given, files.is_some(), in_lab).map_err(Failure::Usage)?;
    let tls = match files {
        Some(files) => {
            within_bounds(&files).map_err(Failure::Config)?;
            let tls = Tls::load(files).map_err(|error| Failure::Config(error.to_string()))?;
            Some(Arc::new(tls))
        }
        None => None,
    };
    let mut listeners = Vec::with_capacity(endpoints.len());
    for (transport, address) in endpoints {
        let listener = Listener::bind(address).await?;
        listeners.push(match (&tls, transport) {
            (Some(tls), Transport::Ssl) => listener.with_tls(tls.clone()),
            _ => {
                if !address.ip().is_loopback() {
                    warn!(
                        addr = %listener.local_addr()?,
                        "plain TCP beyond loopback: whoever reaches this port can pass for a \
                         switch; give --tls-cert, --tls-key and --tls-ca, or listen on 127.0.0.1"
                    );
                }
                listener
            }
        });
    }
    Ok(Open { listeners, tls })
}

/// Whether the files for TLS can be read as a whole.
///
/// # Errors
/// Which of them cannot, and why.
pub(super) fn within_bounds(files: &TlsFiles) -> Result<(), String> {
    files.paths().into_iter().try_for_each(|file| match input::within(file, PEM_BYTES) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", file.display())),
    })
}

/// The ports and how bytes come through them. Pure.
fn resolve(
    given: &[Endpoint],
    has_tls: bool,
    in_lab: bool,
) -> Result<Vec<(Transport, SocketAddr)>, String> {
    let usual = match in_lab {
        true => Endpoint {
            transport: Some(Transport::Tcp),
            address: SocketAddr::from(([127, 0, 0, 1], PORT)),
        },
        false => Endpoint { transport: None, address: SocketAddr::from(([0, 0, 0, 0], PORT)) },
    };
    let given = if given.is_empty() { &[usual] } else { given };
    let bare = if has_tls { Transport::Ssl } else { Transport::Tcp };
    let resolved: Vec<_> = given
        .iter()
        .map(|endpoint| (endpoint.transport.unwrap_or(bare), endpoint.address))
        .collect();
    if let Some(open) = given.iter().find(|e| in_lab && !e.address.ip().is_loopback()) {
        return Err(format!("--listen {open}: a lab listens on loopback only"));
    }
    if in_lab && resolved.first().is_some_and(|(transport, _)| *transport == Transport::Ssl) {
        return Err(format!(
            "--listen {}: the switches of a lab connect without TLS, to the first port (tcp:)",
            given[0]
        ));
    }
    let wants_tls = resolved.iter().position(|(transport, _)| *transport == Transport::Ssl);
    match (wants_tls, has_tls) {
        (Some(index), false) => {
            Err(format!("--listen {}: needs --tls-cert, --tls-key and --tls-ca", given[index]))
        }
        (None, true) => Err("--tls-cert: every port is plain TCP".to_owned()),
        _ => Ok(resolved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was given, whether there are certificates, whether it is a lab; what comes of it.
    type Rows =
        &'static [(&'static [&'static str], bool, bool, Result<&'static str, &'static str>)];

    #[test]
    fn ports_are_tls_where_it_is_said_or_where_there_are_certificates() {
        let rows: Rows = &[
            (&[], false, false, Ok("tcp 0.0.0.0:6653")),
            (&[], true, false, Ok("ssl 0.0.0.0:6653")),
            (&[], false, true, Ok("tcp 127.0.0.1:6653")),
            (&["1.2.3.4:5"], true, false, Ok("ssl 1.2.3.4:5")),
            (&["ssl:[::]:1", "tcp:127.0.0.1:2"], true, false, Ok("ssl [::]:1, tcp 127.0.0.1:2")),
            (&["[::1]:7"], false, false, Ok("tcp [::1]:7")),
            (&["ssl:0.0.0.0:1"], false, false, Err("--listen ssl:0.0.0.0:1: needs --tls-cert")),
            (&["tcp:0.0.0.0:1"], true, false, Err("every port is plain")),
            (&["0.0.0.0:1"], false, true, Err("--listen 0.0.0.0:1: a lab listens")),
            (&["127.0.0.1:1"], true, true, Err("--listen 127.0.0.1:1: the switches of a lab")),
            (
                &["tcp:127.0.0.1:1", "ssl:127.0.0.1:2"],
                true,
                true,
                Ok("tcp 127.0.0.1:1, ssl 127.0.0.1:2"),
            ),
        ];
        for (given, has_tls, in_lab, expected) in rows {
            let endpoints: Vec<Endpoint> = given.iter().map(|text| text.parse().unwrap()).collect();
            let resolved = resolve(&endpoints, *has_tls, *in_lab).map(|resolved| {
                let shown = resolved.iter().map(|(transport, address)| {
                    format!("{} {address}", format!("{transport:?}").to_lowercase())
                });
                shown.collect::<Vec<_>>().join(", ")
            });
            match (&resolved, expected) {
                (Ok(resolved), Ok(expected)) if resolved == expected => {}
                (Err(told), Err(expected)) if told.contains(expected) => {}
                _ => panic!("{given:?} {has_tls} {in_lab}: {resolved:?}, not {expected:?}"),
            }
        }
        for bad in ["", "1.2.3.4", "udp:1.2.3.4:5", "ssl:host:1", "ssl:1.2.3.4:70000"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
