//! TLS: whom to trust, and the one configuration made from that.
//!
//! The configuration is built when the first `https` exchange needs it, so that plain ones and
//! other commands pay nothing. Which variables name certificates is fixed here; their values come
//! from the caller.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, Error, RootCertStore};

use super::failure::os_words;
use crate::limits::{CA_FILE_BYTES_MAX, CA_FILES_MAX};

/// Where distributions keep their authorities in one file.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS sessions remembered for resumption; we speak with few servers.
const SESSIONS_KEPT: usize = 8;

/// The values of the variables that name certificate authorities.
///
/// `WINDLASS_CA_FILE` comes before the other two, and any of them replaces the built-in authorities
/// and those of the system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trust {
    /// `WINDLASS_CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// `SSL_CERT_FILE`.
    pub cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`, directories with a colon between them.
    pub cert_dirs: Option<OsString>,
}

/// Makes TLS connections.
#[derive(Debug)]
pub struct Tls {
    trust: Trust,
    config: Option<Arc<ClientConfig>>,
}

/// No keys of our own: servers know us by what we say, not by a certificate.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("no certificates of clients are known here".to_owned()))
    }
}

/// The cryptography we use; the only place that names it.
///
/// Without what signs, which no connection of ours needs.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() })
}

impl Tls {
    pub fn new(trust: Trust) -> Tls {
        Tls { trust, config: None }
    }

    /// The client's side of a new connection to `host`, or why there cannot be one.
    pub fn connect(&mut self, host: &str) -> Result<Box<ClientConnection>, String> {
        let config = self.config()?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the host is no name that a certificate can have".to_owned())?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|error| explain(&error))?;
        // The exchange gives one piece of request at a time, which is its bound.
        connection.set_buffer_limit(None);
        Ok(Box::new(connection))
    }

    /// The configuration, for other clients of this process as well.
    pub fn config(&mut self) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let roots = self.trust.roots()?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| explain(&error))?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_KEPT);
        let config = Arc::new(config);
        self.config = Some(config.clone());
        Ok(config)
    }
}

impl Trust {
    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            add_file(&mut roots, path).map_err(|why| format!("WINDLASS_CA_FILE: {why}"))?;
        } else if self.cert_file.is_some() || self.cert_dirs.is_some() {
            // One of the two is enough: images often set both and have one.
            let mut faults = String::new();
            if let Some(path) = &self.cert_file
                && let Err(why) = add_file(&mut roots, path)
            {
                faults = format!("; SSL_CERT_FILE: {why}");
            }
            for dir in self.cert_dirs.iter().flat_map(std::env::split_paths) {
                if let Err(why) = add_dir(&mut roots, &dir) {
                    faults.push_str(&format!("; SSL_CERT_DIR: {why}"));
                }
            }
            if roots.is_empty() {
                return Err(format!("no certificate authority is known{faults}"));
            }
        } else {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            for bundle in SYSTEM_BUNDLES {
                // The built-in ones suffice where the system has none.
                if add_file(&mut roots, Path::new(bundle)).is_ok() {
                    break;
                }
            }
        }
        Ok(roots)
    }
}

/// What a TLS error means for the person who reads it.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate comes from an authority we do not know; if you trust it, name the \
             file of its certificate in WINDLASS_CA_FILE or SSL_CERT_FILE"
                .to_owned()
        }
        Error::InvalidMessage(_) => format!("the server does not seem to speak TLS ({error})"),
        error => error.to_string(),
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown = path.display();
    let bytes =
        read_bounded(path).map_err(|error| format!("read {shown}: {}", os_words(&error)))?;
    let found = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
    let (added, _) = roots.add_parsable_certificates(found);
    if added == 0 {
        return Err(format!("read {shown}: it holds no certificate"));
    }
    Ok(())
}

/// Takes the files that are named by a hash, as OpenSSL does: the rest are the same once more.
fn add_dir(roots: &mut RootCertStore, dir: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("read {}: {}", dir.display(), os_words(&error));
    let mut files_count = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_hashed = name.len() > 9
            && name[..8].iter().all(u8::is_ascii_hexdigit)
            && name[8] == b'.'
            && name[9..].iter().all(u8::is_ascii_digit);
        if !is_hashed {
            continue;
        }
        files_count += 1;
        if files_count > CA_FILES_MAX {
            return Err(format!("{} holds more than {CA_FILES_MAX} files", dir.display()));
        }
        // A file that is no certificate is not our business as long as others are.
        let _ = add_file(roots, &path);
    }
    Ok(())
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or device would block or never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(CA_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {CA_FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    fn refused(trust: Trust) -> String {
        Tls::new(trust).config().unwrap_err()
    }

    #[test]
    fn a_named_file_replaces_all_other_authorities() {
        let trust = Trust { ca_file: Some(fixture("ca.pem")), ..Trust::default() };
        assert_eq!(trust.roots().unwrap().len(), 1);
        let trust = Trust { cert_file: Some(fixture("ca.pem")), ..Trust::default() };
        assert_eq!(trust.roots().unwrap().len(), 1);
        let both = Trust {
            ca_file: Some(fixture("ca.pem")),
            cert_file: Some(PathBuf::from("/none")),
            ..Trust::default()
        };
        assert_eq!(both.roots().unwrap().len(), 1);
        assert!(Trust::default().roots().unwrap().len() > 100);
    }

    #[test]
    fn directories_give_what_is_named_by_its_hash() {
        let dir = std::env::temp_dir().join(format!("windlass-tls-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::copy(fixture("ca.pem"), dir.join("0123abcd.0")).unwrap();
        fs::copy(fixture("server.pem"), dir.join("server.pem")).unwrap();
        let dirs = std::env::join_paths([Path::new("/none"), &dir]).unwrap();
        let trust = Trust { cert_dirs: Some(dirs), ..Trust::default() };
        let roots = trust.roots();
        for index in 0..CA_FILES_MAX {
            File::create(dir.join(format!("00000000.{index}"))).unwrap();
        }
        let mut none = RootCertStore::empty();
        let many = add_dir(&mut none, &dir).unwrap_err();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(roots.unwrap().len(), 1);
        assert!(many.ends_with("holds more than 1024 files"), "{many}");
    }

    #[test]
    fn what_cannot_be_trusted_is_named() {
        let none = || Some(PathBuf::from("/none"));
        assert_eq!(
            refused(Trust { ca_file: none(), ..Trust::default() }),
            "WINDLASS_CA_FILE: read /none: no such file or directory"
        );
        let key = Some(fixture("server.key.pem"));
        let text = refused(Trust { ca_file: key, ..Trust::default() });
        assert!(text.ends_with("server.key.pem: it holds no certificate"), "{text}");
        assert_eq!(
            refused(Trust { cert_file: none(), cert_dirs: Some("/nil".into()), ca_file: None }),
            "no certificate authority is known; SSL_CERT_FILE: read /none: no such file or \
             directory; SSL_CERT_DIR: read /nil: no such file or directory"
        );
        let device = Some(PathBuf::from("/dev/zero"));
        assert_eq!(
            refused(Trust { ca_file: device, ..Trust::default() }),
            "WINDLASS_CA_FILE: read /dev/zero: not a file"
        );
    }

    #[test]
    fn a_file_over_the_bound_is_not_read() {
        let path = std::env::temp_dir().join(format!("windlass-ca-{}", std::process::id()));
        File::create(&path).unwrap().set_len(CA_FILE_BYTES_MAX + 1).unwrap();
        let read = read_bounded(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap_err().to_string(), "larger than 8388608 bytes");
    }
}
