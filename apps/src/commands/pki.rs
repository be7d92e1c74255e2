//! `umlaut pki`: a certification authority for a lab, and certificates of controllers and switches
//! (RFC 5280). Runtime.
//!
//! The CA's subject is made of its key, so that the key alone says how to sign.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};
use umlaut_slice_db::Fingerprint;

use super::input::{self, PEM_BYTES};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a CA is good for.
const CA_DAYS: u32 = 3650;
/// From this long before it was made a certificate is good: clocks differ.
const CLOCK_SKEW: Duration = DAY;
/// Only the owner reads private keys.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Arguments of `umlaut pki`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a certification authority
    Init(Place),
    /// Issue a certificate and its key to a switch or a controller
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// The folder of the authority
    #[arg(long, default_value = "pki")]
    dir: PathBuf,
    /// Replace what is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// Whose it is: the DNS name in the certificate, and the name of the files
    #[arg(value_parser = name)]
    name: String,
    /// What it is for
    #[arg(long = "for", value_enum, default_value = "switch", value_name = "ROLE")]
    role: Role,
    /// Another DNS name or IP address of its owner; may be given several times
    #[arg(long, value_name = "NAME|IP", value_parser = also)]
    also: Vec<String>,
    /// For how long
    #[arg(long, default_value = "730", value_parser = clap::value_parser!(u32).range(1..=CA_DAYS as i64))]
    days: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Role {
    /// It connects to a controller
    Switch,
    /// Switches connect to it
    Controller,
}

/// A name that is one of DNS and good for a file: letters, digits, `-` and `.`.
fn name(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() > 200 || !text.split('.').all(is_label) {
        return Err("a DNS name: letters, digits, - and .".to_owned());
    }
    if text == "ca" {
        return Err("that is the authority's own name".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

fn also(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => name(text),
    }
}

pub(super) fn execute(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Init(place) => init(place)?,
        Command::Issue(args) => issue(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of an authority.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(dir: &Path, name: &str) -> Files {
        Files {
            certificate: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}-key.pem")),
        }
    }

    /// Writes both, the key first: a certificate without its key is of no use.
    fn write(&self, certificate: &Certificate, key: &KeyPair, force: bool) -> anyhow::Result<()> {
        for file in [&self.key, &self.certificate] {
            let there = file.symlink_metadata().is_ok();
            ensure!(force || !there, "{}: is there already (--force replaces it)", file.display());
        }
        write(&self.key, &key.serialize_pem(), KEY_MODE)?;
        write(&self.certificate, &certificate.pem(), CERTIFICATE_MODE)
    }
}

/// Puts a file in place as a whole, so that nobody reads half of it.
fn write(file: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    let written = || -> io::Result<()> {
        // What an earlier run left.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&new, file)
    };
    written().with_context(|| file.display().to_string())
}

fn init(place: &Place) -> anyhow::Result<()> {
    let dir = &place.dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| dir.display().to_string())?;
    let key = KeyPair::generate()?;
    let mut params = authority(&key);
    valid(&mut params, CA_DAYS);
    let certificate = params.self_signed(&key)?;
    let files = Files::of(dir, "ca");
    files.write(&certificate, &key, place.force)?;
    println!("authority    {}", files.certificate.display());
    println!("its key      {} (keep it apart from switches)", files.key.display());
    println!("fingerprint  {}", fingerprint(&certificate));
    Ok(())
}

fn issue(args: &Issue) -> anyhow::Result<()> {
    let dir = &args.place.dir;
    let ca = Files::of(dir, "ca");
    let text = |file: &Path| -> anyhow::Result<String> {
        let read = input::file(file, PEM_BYTES);
        let hint = match &read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                " (umlaut pki init makes an authority)"
            }
            _ => "",
        };
        let shown = || format!("{}{hint}", file.display());
        String::from_utf8(read.with_context(shown)?).with_context(shown)
    };
    let ca_key = KeyPair::from_pem(&text(&ca.key)?)
        .with_context(|| format!("{}: no private key in PEM form", ca.key.display()))?;
    let issuer = Issuer::new(authority(&ca_key), ca_key);
    let key = KeyPair::generate()?;
    let certificate = leaf(args)?.signed_by(&key, &issuer)?;
    verify(&text(&ca.certificate)?, &certificate, args.role)
        .with_context(|| ca.certificate.display().to_string())?;
    let files = Files::of(dir, &args.name);
    files.write(&certificate, &key, args.place.force)?;

    // Whoever runs the printed commands may be elsewhere.
    let absolute = |file: &Path| fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let (key, certificate_file) = (absolute(&files.key), absolute(&files.certificate));
    let (key, file) = (key.display(), certificate_file.display());
    let ca = absolute(&ca.certificate);
    let ca = ca.display();
    println!("certificate  {file}");
    println!("its key      {key}");
    println!("fingerprint  {}", fingerprint(&certificate));
    match args.role {
        Role::Switch => {
            println!("on the switch, with these three files:");
            println!("  ovs-vsctl set-ssl {key} {file} {ca}");
            println!("  ovs-vsctl set-controller BRIDGE ssl:CONTROLLER:6653");
            println!("in the policy:");
            println!("  switches: {{NAME: {{dpid: 0x…, cert: {}}}}}", args.name);
        }
        Role::Controller => {
            println!("to run the controller:");
            println!("  umlaut run --tls-cert {file} --tls-key {key} --tls-ca {ca} POLICY");
        }
    }
    Ok(())
}

/// What the authority of a key says of itself.
fn authority(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let mark = digest(&SHA256, key.public_key_raw());
    let mark: String = mark.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name.push(DnType::CommonName, format!("umlaut CA {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(args: &Issue) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![args.name.clone()])?;
    for also in &args.also {
        let san = match also.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(also.as_str().try_into()?),
        };
        params.subject_alt_names.push(san);
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, args.name.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // One only: a switch's stolen key must not pass for a controller.
    params.extended_key_usages = vec![match args.role {
        Role::Switch => ExtendedKeyUsagePurpose::ClientAuth,
        Role::Controller => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    params.use_authority_key_identifier_extension = true;
    valid(&mut params, args.days);
    Ok(params)
}

fn valid(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + days * DAY).into();
}

/// Whether the authority's certificate is the one of its key, and still good.
fn verify(ca: &str, certificate: &Certificate, role: Role) -> anyhow::Result<()> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, UnixTime};
    use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
    let Ok(ca) = CertificateDer::from_pem_slice(ca.as_bytes()) else {
        bail!("no certificate in PEM form");
    };
    let anchor = anchor_from_trusted_cert(&ca).context("not the certificate of an authority")?;
    let usage = match role {
        Role::Switch => KeyUsage::client_auth(),
        Role::Controller => KeyUsage::server_auth(),
    };
    let (algorithms, now) = (webpki::ALL_VERIFICATION_ALGS, UnixTime::now());
    EndEntityCert::try_from(certificate.der())?
        .verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None)
        .map_err(|error| anyhow::anyhow!("not the certificate of the key beside it ({error})"))?;
    Ok(())
}

fn fingerprint(certificate: &Certificate) -> Fingerprint {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, certificate.der()).as_ref());
    Fingerprint(bytes)
}
