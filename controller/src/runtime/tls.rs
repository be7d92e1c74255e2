//! TLS to switches (RFC 8446, RFC 5246): the controller's certificate, and the CA that issued those
//! of the switches. Runtime.
//!
//! Both ends show a certificate. Files are read when the program starts and when it is told to read
//! them again; connections keep what they began with. Sessions are not resumed: every connection is
//! verified against the CA of now.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::stream::{Encrypted, unattended};
use crate::origin::Certificate;

/// How long a TLS handshake may take; then the connection is closed and told of.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Certificates or a key that are larger are refused. Those of all public authorities have a quarter
/// of it.
const FILE_BYTES: u64 = 1 << 20;

/// The files that TLS needs, in PEM form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The controller's certificate, with intermediate ones behind it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificates of whoever issues certificates to switches.
    pub ca: PathBuf,
}

impl TlsFiles {
    /// All of them.
    pub fn paths(&self) -> [&Path; 3] {
        [&self.certificate, &self.key, &self.ca]
    }
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has more than 1 MiB.
    #[error("{}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file has not what it should have.
    #[error("{}: {reason}", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together.
    #[error("{}: not the key of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
}

/// What TLS listeners offer and demand. Shared by them; replaced as a whole.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub fn load(files: TlsFiles) -> Result<Tls, TlsError> {
        let config = ArcSwap::from_pointee(read(&files)?);
        Ok(Tls { files, config })
    }

    /// Reads the files again, for connections from now on.
    ///
    /// # Errors
    /// As for [`Tls::load`]; what was in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(read(&self.files)?));
        Ok(())
    }

    /// The files.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Shakes hands. The error says why it failed.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<(Encrypted, Certificate), String> {
        let handshake = TlsAcceptor::from(self.config.load_full()).accept(socket);
        match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, handshake).await {
            Err(_) => Err("no TLS handshake in time".to_owned()),
            Ok(Err(error)) => Err(format!("TLS: {}", explained(&error))),
            Ok(Ok(stream)) => {
                let (socket, connection) = stream.into_inner();
                let certificate = shown(&connection).ok_or("TLS: no certificate")?;
                let socket = unattended(socket).map_err(|error| error.to_string())?;
                Ok((Encrypted::new(socket, connection), certificate))
            }
        }
    }
}

/// A handshake's error; what it says of somebody who does not speak TLS is hard to read.
fn explained(error: &io::Error) -> String {
    use rustls::Error::InvalidMessage;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(InvalidMessage(_)) => format!("{error} (does the other end use ssl:?)"),
        _ => error.to_string(),
    }
}

/// The certificate that the other end showed; it was verified in the handshake.
fn shown(connection: &ServerConnection) -> Option<Certificate> {
    let der = connection.peer_certificates()?.first()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let names = match webpki::EndEntityCert::try_from(der) {
        Ok(certificate) => certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    };
    Some(Certificate { fingerprint: digest.as_ref().try_into().ok()?, names })
}

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unusable = |file: &Path, reason: String| TlsError::Unusable { file: file.into(), reason };
    let chain = certificates(&files.certificate)?;
    let key = contents(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        let reason = match error {
            pem::Error::NoItemsFound => "no private key in PEM form".to_owned(),
            error => error.to_string(),
        };
        unusable(&files.key, reason)
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| unusable(&files.ca, error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|error| unusable(&files.ca, error.to_string()))?;
    let versions = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.certificate, error.to_string()))?;
    let mut config = versions
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
            },
            rustls::Error::InvalidCertificate(_) => unusable(&files.certificate, error.to_string()),
            error => unusable(&files.key, error.to_string()),
        })?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn contents(file: &Path) -> Result<Vec<u8>, TlsError> {
    bounded(file).map_err(|error| TlsError::Unreadable { file: file.into(), error })
}

/// A pipe or a device may have no end.
fn bounded(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        let reason = format!("this has more than {} MiB", FILE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(bytes)
}

/// All certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |reason: String| TlsError::Unusable { file: file.into(), reason };
    let bytes = contents(file)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = read.map_err(|error| unusable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unusable("no certificate in PEM form".to_owned())),
        false => Ok(certificates),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = contents(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: this has more than 1 MiB");
    }
}
