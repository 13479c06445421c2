//! Opening the object store that a URL names, and finding out at start-up whether it can be used.
//!
//! `file://DIR` (synced files), `s3://bucket[/prefix]` (credentials, region and endpoint from the AWS SDK's chain, so
//! that everything that works for its command line works here), `memory://` (tests).
//!
//! What always holds: a store that [`open`] returned takes conditional writes seriously. Manifests and fencing depend on
//! it, so it is tried, not believed.

use super::file_store::FileStore;
use super::metered_store::MeteredStore;
use super::retry::RetryPolicy;
use super::{Clock, Created, Objects, Random, SystemClock};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::client::CredentialProvider;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, Error, ObjectStore, RetryConfig};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;

/// A bound for what has no deadline of its own; `objects` gives each request one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the try-out at start-up may take, retries included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(45);

/// An opened object store.
#[derive(Debug, Clone)]
pub struct Store {
    /// As it may be shown: without secrets, absolute.
    pub url: String,
    pub objects: Arc<dyn ObjectStore>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{url} is not a store URL: {reason}; use file://DIR, s3://BUCKET[/PREFIX] or memory://")]
    BadUrl { url: String, reason: String },
    #[error("cannot use store {url}: {reason}; {advice}")]
    Unusable { url: String, reason: String, advice: String },
}

/// Opens the store at `url` (empty: the directory `objects` below `data_dir`) and tries it out. The try-out writes one
/// small object under a random name, reads it, tries to create it again, and deletes it.
pub async fn open(url: &str, data_dir: &FilePath) -> Result<Store, StoreError> {
    let store = match url {
        "" => open_file(&data_dir.join("objects"))?,
        url => open_url(url).await?,
    };
    let store = Store { objects: Arc::new(MeteredStore::new(store.objects)), ..store };
    probe(&store).await?;
    Ok(store)
}

/// Opens a store to look at it: nothing is written, and a directory that is not there is not made.
pub async fn open_to_read(url: &str) -> Result<Store, StoreError> {
    if let Some(rest) = url.strip_prefix("file://") {
        let directory = file_path(url, rest)?;
        if !directory.is_dir() {
            return Err(unusable(url, "there is no such directory", "correct --store"));
        }
    }
    let store = open_url(url).await?;
    let store = Store { objects: Arc::new(MeteredStore::new(store.objects)), ..store };
    let objects = Objects::with_policy(store.objects.clone(), RetryPolicy::brief());
    match objects.get(&Path::from("probe")).await {
        Err(error) if !error.is_not_found() || innermost(&error.source).contains("NoSuchBucket") => {
            Err(explain(&store.url, "read", &error.source))
        }
        _ => Ok(store),
    }
}

async fn open_url(url: &str) -> Result<Store, StoreError> {
    match url.split_once("://") {
        None => Err(bad_url(url, "it has no scheme")),
        Some(("file", rest)) => open_file(&file_path(url, rest)?),
        Some(("s3", _)) => open_s3(url).await,
        Some(("memory", "" | "/")) => Ok(Store { url: "memory://".to_owned(), objects: Arc::new(InMemory::new()) }),
        Some(("memory", _)) => Err(bad_url(url, "memory:// takes no path")),
        Some((scheme, _)) => Err(bad_url(url, &format!("scheme {scheme} is not known"))),
    }
}

fn bad_url(url: &str, reason: &str) -> StoreError {
    StoreError::BadUrl { url: url.to_owned(), reason: reason.to_owned() }
}

/// `file:///absolute` is a URL, percent-encoding included. A relative path, which no URL can hold, is taken as written.
fn file_path(url: &str, rest: &str) -> Result<PathBuf, StoreError> {
    match rest {
        "" => Err(bad_url(url, "the directory is missing")),
        absolute if absolute.starts_with('/') => Url::parse(url)
            .ok()
            .and_then(|parsed| parsed.to_file_path().ok())
            .ok_or_else(|| bad_url(url, "the path cannot be read")),
        relative => Ok(PathBuf::from(relative)),
    }
}

fn open_file(directory: &FilePath) -> Result<Store, StoreError> {
    let opened = std::fs::create_dir_all(directory).map_err(|error| error.to_string()).and_then(|()| {
        let directory = directory.canonicalize().map_err(|error| error.to_string())?;
        let store = FileStore::new(&directory).map_err(|error| error.to_string())?;
        let url = Url::from_file_path(&directory).map_err(|()| "the path cannot be a URL".to_owned())?;
        Ok(Store { url: url.to_string(), objects: Arc::new(store) })
    });
    opened.map_err(|reason| StoreError::Unusable {
        url: format!("file://{}", directory.display()),
        reason,
        advice: "make the directory writable for this user, or choose another with --store".to_owned(),
    })
}

async fn open_s3(url: &str) -> Result<Store, StoreError> {
    let parsed = Url::parse(url).map_err(|error| bad_url(url, &error.to_string()))?;
    let bucket = parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad_url(url, "no bucket"))?;
    if parsed.port().is_some() || !parsed.username().is_empty() || parsed.query().is_some() {
        return Err(bad_url(url, "only a bucket and a prefix belong in it; set AWS_ENDPOINT_URL for another server"));
    }
    let prefix = Path::from_url_path(parsed.path()).map_err(|error| bad_url(url, &error.to_string()))?;
    let sdk = aws_sdk_config().await;
    let builder = s3_builder(url, &sdk)?.with_bucket_name(bucket);
    let s3 = builder.build().map_err(|error| bad_url(url, &error.to_string()))?;
    let objects: Arc<dyn ObjectStore> = match prefix.as_ref() {
        "" => Arc::new(s3),
        _ => Arc::new(PrefixStore::new(s3, prefix)),
    };
    Ok(Store { url: url.trim_end_matches('/').to_owned(), objects })
}

/// What the AWS SDK makes of the environment, profiles and instance metadata.
async fn aws_sdk_config() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
    aws_config::defaults(BehaviorVersion::latest()).http_client(http.build_https()).load().await
}

fn s3_builder(url: &str, sdk: &SdkConfig) -> Result<AmazonS3Builder, StoreError> {
    let endpoint = environment("AWS_ENDPOINT_URL_S3").or_else(|| sdk.endpoint_url().map(str::to_owned));
    let plain_http = environment("AWS_ALLOW_HTTP").is_some_and(|value| value == "1" || value == "true")
        || endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let region = match (sdk.region(), &endpoint) {
        (Some(region), _) => region.to_string(),
        // Other servers than AWS mostly ignore it, but a signature needs one.
        (None, Some(_)) => "us-east-1".to_owned(),
        (None, None) => {
            return Err(unusable(url, "no AWS region is configured", "set AWS_REGION to the region of the bucket"));
        }
    };
    let Some(provider) = sdk.credentials_provider() else {
        return Err(unusable(url, "the AWS SDK offers no credentials provider", CREDENTIALS_ADVICE));
    };
    let builder = AmazonS3Builder::new()
        .with_region(region)
        .with_credentials(Arc::new(SdkCredentials {
            provider,
            clock: SystemClock,
            kept: tokio::sync::Mutex::new(None),
        }))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(
            ClientOptions::new()
                .with_allow_http(plain_http)
                .with_connect_timeout(CONNECT_TIMEOUT)
                .with_timeout(REQUEST_TIMEOUT),
        )
        // `objects` tries again, with a budget, and only it: here each attempt is one request, and is counted as one.
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    Ok(match endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        None => builder,
    })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Credentials are asked for again so long before they expire.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(5 * 60);
/// Those without an expiry are read again after so long: somebody may have replaced the file they are in.
const CREDENTIALS_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// The SDK's credentials in object_store's form. The SDK's chain asks its sources anew each time (a file, or a service on
/// the network), and object_store asks for every request, so they are kept here.
#[derive(Debug)]
struct SdkCredentials {
    provider: SharedCredentialsProvider,
    clock: SystemClock,
    /// With the wall clock's time, in microseconds, until which they are used.
    kept: tokio::sync::Mutex<Option<(Arc<AwsCredential>, u64)>>,
}

#[async_trait::async_trait]
impl CredentialProvider for SdkCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        let now_us = self.clock.wall_us();
        if let Some((credential, until_us)) = &*kept
            && now_us < *until_us
        {
            return Ok(credential.clone());
        }
        let credentials = self
            .provider
            .provide_credentials()
            .await
            .map_err(|error| Error::Unauthenticated { path: String::new(), source: Box::new(error) })?;
        let credential = Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        });
        let until_us = use_until_us(now_us, credentials.expiry());
        *kept = Some((credential.clone(), until_us));
        Ok(credential)
    }
}

fn use_until_us(now_us: u64, expiry: Option<SystemTime>) -> u64 {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match expiry {
        None => now_us.saturating_add(micros(CREDENTIALS_AGE_MAX)),
        Some(expiry) => {
            micros(expiry.duration_since(UNIX_EPOCH).unwrap_or_default()).saturating_sub(micros(CREDENTIALS_MARGIN))
        }
    }
}

const CREDENTIALS_ADVICE: &str =
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where an instance role gives credentials";

fn unusable(url: &str, reason: &str, advice: &str) -> StoreError {
    StoreError::Unusable { url: url.to_owned(), reason: reason.to_owned(), advice: advice.to_owned() }
}

async fn probe(store: &Store) -> Result<(), StoreError> {
    let name = Path::from(format!("probe-{:032x}", Random::system().u128()));
    match tokio::time::timeout(PROBE_TIMEOUT, try_out(store, &name)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(unusable(
            &store.url,
            &format!("no answer within {} s", PROBE_TIMEOUT.as_secs()),
            "check the network and AWS_ENDPOINT_URL",
        )),
    }
}

async fn try_out(store: &Store, name: &Path) -> Result<(), StoreError> {
    const CONTENT: &str = "drumlin was here";
    let failed = |doing: &str, error: super::ObjectError| explain(&store.url, doing, &error.source);
    let objects = Objects::with_policy(store.objects.clone(), RetryPolicy::brief());
    objects.create(name, CONTENT.into()).await.map_err(|error| failed("write", error))?;
    let read = objects.get(name).await;
    let again = objects.create(name, "a second write".into()).await;
    let deleted = objects.delete(name).await;
    let read = read.map_err(|error| failed("read", error))?;
    deleted.map_err(|error| failed("delete", error))?;
    if read != CONTENT {
        return Err(unusable(
            &store.url,
            "what was read is not what was written",
            "use a store with strong consistency",
        ));
    }
    match again.map_err(|error| failed("create a second time", error))? {
        Created::Theirs => Ok(()),
        Created::Ours => Err(unusable(
            &store.url,
            "it ignores the condition of a conditional write (If-None-Match: *)",
            "use a store that supports conditional writes: two servers could overwrite each other's data on this one",
        )),
    }
}

/// Says in one line what went wrong and what the reader can do about it.
fn explain(url: &str, doing: &str, error: &Error) -> StoreError {
    let text = innermost(error);
    let (reason, advice) = match error {
        _ if text.contains("NoSuchBucket") => {
            let advice = format!("create it (aws s3 mb {url}), or correct --store or AWS_ENDPOINT_URL");
            return unusable(url, "the bucket does not exist", &advice);
        }
        Error::Unauthenticated { .. } => (format!("no valid credentials ({text})"), CREDENTIALS_ADVICE),
        Error::PermissionDenied { .. } => (
            format!("these credentials may not {doing} ({text})"),
            "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on it",
        ),
        Error::NotFound { .. } => {
            (format!("{doing}: not found ({text})"), "check the bucket's name and AWS_ENDPOINT_URL")
        }
        _ => (format!("{doing}: {text}"), "check the network, AWS_REGION and AWS_ENDPOINT_URL"),
    };
    unusable(url, &reason, advice)
}

/// The last error of the chain says what happened; those before it repeat each other. One line, of bounded length.
fn innermost(error: &Error) -> String {
    let mut messages = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        messages.push(error.to_string());
        source = error.source();
    }
    // A server's answer (with its code) is in the next to last message as often as in the last.
    let most_telling = messages.iter().rfind(|message| message.contains("<Code>")).or(messages.last());
    most_telling
        .map(|message| message.split_whitespace().collect::<Vec<_>>().join(" "))
        .map_or_else(String::new, |text| text.chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;

    async fn open_here(url: &str) -> Result<(Store, tempfile::TempDir), String> {
        let directory = tempfile::tempdir().unwrap();
        open(url, directory.path()).await.map(|store| (store, directory)).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn no_url_means_a_directory_below_the_data_directory() {
        let (store, directory) = open_here("").await.unwrap();
        let objects = directory.path().canonicalize().unwrap().join("objects");
        assert_eq!(store.url, Url::from_file_path(&objects).unwrap().as_str());
        store.objects.put(&Path::from("x"), "y".into()).await.unwrap();
        let names: Vec<_> = std::fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["x"], "the try-out leaves nothing behind");
    }

    #[tokio::test]
    async fn file_urls_may_be_encoded_and_are_created() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("file://{}/with%20space/a", directory.path().display());
        let (store, _other) = open_here(&url).await.unwrap();
        assert!(directory.path().join("with space/a").is_dir());
        assert!(store.url.ends_with("/with%20space/a"), "{}", store.url);
    }

    #[tokio::test]
    async fn memory_opens() {
        open_here("memory://").await.unwrap();
    }

    #[tokio::test]
    async fn bad_urls_say_what_would_be_right() {
        for (url, reason) in [
            ("objects", "it has no scheme"),
            ("file://", "the directory is missing"),
            ("gs://bucket", "scheme gs is not known"),
            ("memory://x", "memory:// takes no path"),
            ("s3://", "not a store URL"),
            ("s3://user:secret@bucket/x", "only a bucket and a prefix"),
            ("s3://bucket:9000/x", "set AWS_ENDPOINT_URL"),
        ] {
            let error = open_here(url).await.unwrap_err();
            assert!(error.contains(reason) && error.contains("s3://BUCKET[/PREFIX]"), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_explained() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open_here(&format!("file://{}/objects", file.path().display())).await.unwrap_err();
        assert!(error.contains("make the directory writable"), "{error}");
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_they_expire() {
        use aws_credential_types::Credentials;
        let asked = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = asked.clone();
        #[derive(Debug)]
        struct Source(Arc<std::sync::atomic::AtomicU64>, Option<SystemTime>);
        impl ProvideCredentials for Source {
            fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let credentials = Credentials::new("id", "secret", Some("token".to_owned()), self.1, "test");
                aws_credential_types::provider::future::ProvideCredentials::ready(Ok(credentials))
            }
        }
        let in_seconds =
            |seconds| UNIX_EPOCH + Duration::from_micros(SystemClock.wall_us()) + Duration::from_secs(seconds);
        for (expiry, asked_for_two) in [(None, 1), (Some(in_seconds(3600)), 1), (Some(in_seconds(60)), 2)] {
            let provider = SharedCredentialsProvider::new(Source(count.clone(), expiry));
            let credentials = SdkCredentials { provider, clock: SystemClock, kept: tokio::sync::Mutex::new(None) };
            let before = asked.load(std::sync::atomic::Ordering::Relaxed);
            for _ in 0..2 {
                assert_eq!(credentials.get_credential().await.unwrap().token.as_deref(), Some("token"));
            }
            assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed) - before, asked_for_two, "{expiry:?}");
        }
    }

    #[test]
    fn causes_are_named_with_their_remedies() {
        let source = || Box::<dyn std::error::Error + Send + Sync>::from("<Code>NoSuchBucket</Code>");
        let path = String::from("x");
        let cases = [
            (Error::NotFound { path: path.clone(), source: source() }, "the bucket does not exist; create it"),
            (
                Error::Unauthenticated { path: path.clone(), source: "no role".into() },
                "(no role); set AWS_ACCESS_KEY_ID",
            ),
            (Error::PermissionDenied { path, source: "denied".into() }, "may not write (denied); allow s3:GetObject"),
            (Error::Generic { store: "S3", source: "a\nb".into() }, "write: a b; check the network"),
        ];
        for (error, expected) in cases {
            let text = explain("s3://b", "write", &error).to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
