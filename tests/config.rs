//! Settings, keys and the command line. A binary of its own, because it is about the environment.

#![expect(clippy::expect_used, reason = "a test reports what it cannot use by panicking")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kinora::config::{Config, EMBEDDED, Fault, Source};
use kinora::metadata;
use kinora::metadata::{ActiveKey, Catalog, KeyKind, NewKey};
use kinora::setting::Secret;
use tempfile::TempDir;
use toml::{Table, Value};

fn load(file: Option<&Path>, environment: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_layers(file, environment).map_err(|problems| problems.0)
}

fn written(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("kinora.toml");
    fs::write(&path, text).expect("written");
    path
}

fn directory() -> TempDir {
    TempDir::new().expect("a directory")
}

mod settings {
    use super::*;

    #[test]
    fn the_built_in_settings_hold_and_an_empty_file_changes_nothing() {
        let built_in = load(None, &[]).expect("fine");
        let directory = directory();
        let empty = load(Some(&written(&directory, "")), &[]).expect("fine");
        assert_eq!(format!("{built_in:?}"), format!("{empty:?}"));
        assert_eq!(built_in.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(built_in.admin.listen.to_string(), "127.0.0.1:9090");
        assert_eq!((built_in.image.max_width, built_in.image.max_height), (2048, 1536));
        let whole = load(Some(&written(&directory, EMBEDDED)), &[]).expect("the manual is a valid file");
        assert_eq!(format!("{built_in:?}"), format!("{whole:?}"));
    }

    #[test]
    fn the_manual_names_and_explains_every_key() {
        let defaults: Table = EMBEDDED.parse().expect("TOML");
        for path in leaves(&defaults) {
            let mut without = defaults.clone();
            remove(&mut without, &path);
            let outcome = without.try_into::<Config>();
            assert!(outcome.is_err(), "{path:?} must be a field that has no default but the manual's");
        }
        for line in EMBEDDED.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
            let help = line.split_once(" # ").map(|(_, help)| help).unwrap_or_default();
            assert!(help.len() > 5, "{line:?} needs a line of help");
        }
    }

    fn leaves(table: &Table) -> Vec<Vec<String>> {
        let below = |(name, value): (&String, &Value)| match value {
            Value::Table(inner) => {
                leaves(inner).into_iter().map(|rest| [vec![name.clone()], rest].concat()).collect()
            }
            _ => vec![vec![name.clone()]],
        };
        table.iter().flat_map(below).collect()
    }

    fn remove(table: &mut Table, path: &[String]) {
        match path {
            [name, rest @ ..] if !rest.is_empty() => {
                let inner = table.get_mut(name).and_then(Value::as_table_mut).expect("a section");
                remove(inner, rest);
            }
            [name, ..] => drop(table.remove(name)),
            [] => {}
        }
    }

    #[test]
    fn the_environment_leads_over_the_file_over_the_built_in() {
        let directory = directory();
        let file =
            written(&directory, "[cache]\nmemory = \"1MiB\"\nmax_object = \"64KiB\"\n[render]\nqueue = 5");
        let config = load(
            Some(&file),
            &[
                ("KINORA__CACHE__MEMORY", "2MiB"),
                ("KINORA__SERVER__TLS__LISTEN", "[::1]:0"),
                ("KINORA__DELIVERY__REQUIRE_SIGNATURE", "true"),
                ("KINORA__DELIVERY__CORS_ORIGINS", "https://a.org, https://b.org:8443"),
                ("KINORA__ORIGIN__HTTP__FORWARD_REQUEST_HEADERS", "[\"accept-language\"]"),
                ("KINORA__DELIVERY__MAX_AGE", "1h 30m"),
                ("KINORA_OTHER", "not ours"),
                ("PATH", "not ours"),
            ],
        )
        .expect("fine");
        assert_eq!(config.cache.memory.as_u64(), 2 << 20, "environment");
        assert_eq!(config.cache.max_object.as_u64(), 64 << 10, "file");
        assert_eq!((config.render.queue, config.render.slots), (5, 0), "file and built in");
        assert_eq!(config.server.tls.listen.to_string(), "[::1]:0");
        assert!(config.delivery.require_signature);
        assert_eq!(config.delivery.cors_origins, ["https://a.org", "https://b.org:8443"]);
        assert_eq!(config.origin.http.forward_request_headers, ["accept-language"]);
        assert_eq!(config.delivery.max_age.as_secs(), 5400);
        let off = load(None, &[("KINORA__CACHE__MEMORY", "0")]).expect("a tier can be turned off");
        assert_eq!(off.cache.memory.as_u64(), 0);
        let off = load(Some(&written(&directory, "cache.memory = 0")), &[]).expect("also as a number");
        assert_eq!(off.cache.memory.as_u64(), 0);
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_source() {
        let directory = directory();
        let file = written(
            &directory,
            "[cache]\nmemroy = \"1GiB\"\nmemory = \"much\"\n[render]\nslots = -1\ndeadline = \"0s\"\n\
             [origin]\nkind = \"ftp\"\n[orign]\nx = 1\n[server]\ntls = 5\n[image]\nmax_width = 20000\n",
        );
        let faults = load(
            Some(&file),
            &[
                ("KINORA__SERVER__LISTEN", "here"),
                ("KINORA__CACHE", "1GiB"),
                ("KINORA__CACHE__DISC", "1GiB"),
                ("KINORA__LOG__LEVEL", "loud=very"),
            ],
        )
        .expect_err("wrong");
        let in_file = Source::File(file);
        let in_environment = |name: &str| Source::Environment(name.to_owned());
        let expected = [
            ("cache.memroy", in_file.clone(), "memory"),
            ("orign", in_file.clone(), "origin"),
            ("server.tls", in_file.clone(), "certificate"),
            ("cache", in_environment("KINORA__CACHE"), "is a section"),
            ("cache.disc", in_environment("KINORA__CACHE__DISC"), "no such key"),
            ("cache.memory", in_file.clone(), "a size such as \"256MiB\""),
            ("render.slots", in_file.clone(), "a whole number"),
            ("origin.kind", in_file.clone(), "\"directory\", \"s3\", \"http\""),
            ("server.listen", in_environment("KINORA__SERVER__LISTEN"), "an IP address with a port"),
            ("render.deadline", in_file.clone(), "longer than 0s"),
            ("image.max_width", in_file, "between 1 and 16383"),
            ("log.level", in_environment("KINORA__LOG__LEVEL"), "error, warn"),
        ];
        for (key, source, remedy) in &expected {
            let fault =
                faults.iter().find(|fault| fault.key == *key).unwrap_or_else(|| panic!("{key}: {faults:?}"));
            assert_eq!(&fault.source, source, "{key}");
            assert!(fault.remedy.contains(remedy), "{key}: {}", fault.remedy);
        }
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
    }

    #[test]
    fn who_may_purge_is_a_list_of_networks() {
        let local = "127.0.0.1".parse().expect("an address");
        assert!(!load(None, &[]).expect("fine").purge.allows(local), "nobody unless named");
        let networks = |text| load(None, &[("KINORA__PURGE__ALLOW_CIDRS", text)]);
        let purge = networks("10.0.0.0/8, 127.0.0.0/8,::1").expect("fine").purge;
        for (address, is_allowed) in [
            ("127.0.0.1", true),
            ("::ffff:10.1.2.3", true),
            ("::1", true),
            ("::2", false),
            ("11.0.0.1", false),
        ] {
            assert_eq!(purge.allows(address.parse().expect("an address")), is_allowed, "{address}");
        }
        let faults = networks("10.0.0.0/8,10.0.0.1/8,localhost").expect_err("wrong");
        let values: Vec<_> = faults.iter().map(|fault| (fault.key.as_str(), fault.value.as_str())).collect();
        assert_eq!(values, [("purge.allow_cidrs", "10.0.0.1/8"), ("purge.allow_cidrs", "localhost")]);
    }

    #[test]
    fn what_cannot_be_a_setting_is_told_too() {
        let directory = directory();
        let not_toml =
            load(Some(&written(&directory, "a = 1\nsecret = \"abc\ndef")), &[]).expect_err("no TOML");
        assert!(not_toml[0].remedy.contains("not valid TOML, line"), "{not_toml:?}");
        assert!(!format!("{not_toml:?}").contains("abc"), "the line itself may hold a secret");
        let missing =
            load(Some(Path::new("/nowhere/kinora.toml")), &[("KINORA__X", "1")]).expect_err("no file");
        assert_eq!(missing.len(), 2, "the environment is read all the same: {missing:?}");
        for (name, value) in [
            ("KINORA__SERVER__H2_MAX_STREAMS", "many"),
            ("KINORA__DELIVERY__REQUIRE_SIGNATURE", "yes"),
            ("KINORA__DELIVERY__CORS_ORIGINS", "[\"open"),
            ("KINORA__DELIVERY__CORS_ORIGINS", "https://a.org/path"),
            ("KINORA__", "1"),
            ("KINORA__CACHE____MEMORY", "1"),
            ("KINORA__CACHE__MEMORY__X", "1"),
            ("KINORA__INSECURE__TRUST", "1"),
            ("KINORA__CATALOG__URL", "sqlite::memory:"),
            ("KINORA__CATALOG__URL", "postgres://me@db"),
            ("KINORA__CATALOG__URL", "mysql://me@db/kinora"),
            ("KINORA__DATA__DIR", ""),
            ("KINORA__ADMIN__LISTEN", "127.0.0.1:8080"),
            ("KINORA__SERVER__TLS__CERTIFICATE", "/dev/null"),
            ("KINORA__SERVER__TLS__CERTIFICATE", "/nowhere.pem"),
        ] {
            assert!(load(None, &[(name, value)]).is_err(), "{name}={value} must be refused");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = "hunter2hunter2";
        let environment = [
            ("KINORA__ORIGIN__S3__SECRET_ACCESS_KEY", secret),
            ("KINORA__ORIGIN__S3__SESSION_TOKEN", secret),
            ("KINORA__CATALOG__URL", "postgres://me:hunter2hunter2@db/kinora"),
        ];
        let config = load(None, &environment).expect("fine");
        assert_eq!(config.origin.s3.secret_access_key.expose(), secret);
        assert!(!format!("{config:?}").contains(secret), "{config:?}");
        let directory = directory();
        let file = written(&directory, "[origin.s3]\nsecret_access_key = [\"hunter2hunter2\"]");
        let faults = load(
            Some(&file),
            &[
                ("KINORA__ORIGIN__S3__SECRET_ACESS_KEY", secret),
                ("KINORA__CATALOG__URL", "postgres://me:hunter2/hunter2@db/kinora"),
            ],
        )
        .expect_err("wrong");
        assert_eq!(faults.len(), 3);
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
    }
}

mod keys {
    use super::*;

    async fn open(directory: &TempDir) -> Catalog {
        let config = load(None, &[]).expect("fine").catalog;
        Catalog::open(&config, &directory.path().join("data")).await.expect("open")
    }

    #[tokio::test]
    async fn keys_outlive_the_process_and_secrets_are_kept_as_hashes() {
        let directory = directory();
        let catalog = open(&directory).await;
        let api = catalog.create_key(&NewKey::of(KeyKind::Api), 1).await.expect("made");
        let wish = NewKey { origins: vec!["https://a.org".to_owned()], ..NewKey::of(KeyKind::Upload) };
        let upload = catalog.create_key(&wish, 2).await.expect("made");
        let wish = NewKey { sha1: true, name: "old site".to_owned(), ..NewKey::of(KeyKind::Signing) };
        let signing = catalog.create_key(&wish, 3).await.expect("made");
        catalog.close().await;

        let file = fs::read(directory.path().join("data/kinora.sqlite")).expect("readable");
        let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(api.secret.expose()) && !holds(upload.secret.expose()), "hashes alone");

        let catalog = open(&directory).await;
        let listed = catalog.keys().await.expect("listed");
        let ids: Vec<&str> = listed.iter().map(|key| key.id.as_str()).collect();
        assert_eq!(ids, [&api.id, &upload.id, &signing.id]);
        assert_eq!((listed[0].scopes.as_slice(), listed[0].created_at), (["*".to_owned()].as_slice(), 1));
        assert_eq!(listed[1].origins, ["https://a.org"]);
        assert_eq!((listed[2].name.as_str(), listed[2].sha1), ("old site", true));
        let active = catalog.active_keys(5).await.expect("listed");
        assert!(
            matches!(&active[0], ActiveKey::Signing { access_id, secret, sha1: true }
            if *access_id == signing.id && *secret == signing.secret),
            "newest first"
        );
        let ring = catalog.key_ring(5).await.expect("a ring");
        assert!(ring.has_api_key(api.secret.expose()) && !ring.has_api_key(upload.secret.expose()));
        assert_eq!(ring.signing_key(&signing.id).map(|key| &key.secret), Some(&signing.secret));
    }

    #[tokio::test]
    async fn a_revoked_key_opens_nothing_and_its_secret_is_wiped() {
        let directory = directory();
        let catalog = open(&directory).await;
        let api = catalog.create_key(&NewKey::of(KeyKind::Api), 1).await.expect("made");
        let signing = catalog.create_key(&NewKey::of(KeyKind::Signing), 2).await.expect("made");
        catalog.revoke_key(&api.id, 3).await.expect("revoked");
        catalog.revoke_key(&signing.id, 4).await.expect("revoked");
        let again = catalog.revoke_key(&signing.id, 5).await;
        assert!(matches!(again, Err(metadata::Error::NoSuchKey(_))), "{again:?}");
        assert!(catalog.active_keys(5).await.expect("listed").is_empty());
        let listed = catalog.keys().await.expect("listed");
        assert_eq!(listed[1].revoked_at, Some(4));
        catalog.close().await;
        for entry in fs::read_dir(directory.path().join("data")).expect("readable") {
            let file = fs::read(entry.expect("entry").path()).expect("readable");
            let secret = signing.secret.expose().as_bytes();
            assert!(!file.windows(secret.len()).any(|window| window == secret), "wiped");
        }
    }

    #[tokio::test]
    async fn an_existing_pair_can_be_brought_along_once() {
        let directory = directory();
        let catalog = open(&directory).await;
        let pair = |id: &str, secret: &str| NewKey {
            pair: Some((id.to_owned(), Secret::new(secret))),
            ..NewKey::of(KeyKind::Api)
        };
        let issued = catalog.create_key(&pair("mine", "0123456789abcdef"), 1).await.expect("made");
        assert_eq!((issued.id.as_str(), issued.secret.expose()), ("mine", "0123456789abcdef"));
        let same_id = catalog.create_key(&pair("mine", "another-secret-1"), 2).await;
        assert!(matches!(same_id, Err(metadata::Error::DuplicateId(_))), "{same_id:?}");
        let same_secret = catalog.create_key(&pair("other", "0123456789abcdef"), 2).await;
        assert!(matches!(same_secret, Err(metadata::Error::DuplicateSecret)), "{same_secret:?}");
        catalog.revoke_key("mine", 3).await.expect("revoked");
        let revived = catalog.create_key(&pair("mine", "another-secret-1"), 4).await;
        assert!(matches!(revived, Err(metadata::Error::DuplicateId(_))), "a revoked id stays taken");
        assert_eq!(catalog.keys().await.expect("listed").len(), 1);
    }

    #[tokio::test]
    async fn another_opener_sees_that_keys_have_changed() {
        let directory = directory();
        let (running, command) = (open(&directory).await, open(&directory).await);
        let before = running.change().await.expect("told");
        assert_eq!(running.change().await.expect("told"), before, "nothing has happened");
        let key = command.create_key(&NewKey::of(KeyKind::Signing), 1).await.expect("made");
        let created = running.change().await.expect("told");
        assert_ne!(created, before, "made elsewhere");
        command.revoke_key(&key.id, 2).await.expect("revoked");
        let revoked = running.change().await.expect("told");
        assert_ne!(revoked, created, "revoked elsewhere");
        running.create_key(&NewKey::of(KeyKind::Api), 3).await.expect("made");
        assert_ne!(running.change().await.expect("told"), revoked, "own changes count too");
    }

    #[tokio::test]
    async fn only_our_own_user_can_read_the_files() {
        let directory = directory();
        let catalog = open(&directory).await;
        catalog.create_key(&NewKey::of(KeyKind::Signing), 1).await.expect("made");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let data = directory.path().join("data");
        assert_eq!(mode(&data), 0o700);
        let names = ["kinora.sqlite", "kinora.sqlite-wal", "kinora.sqlite-shm"];
        assert_eq!(names.map(|name| mode(&data.join(name))), [0o600; 3]);
        catalog.close().await;
        let file = data.join("kinora.sqlite");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("loosened");
        open(&directory).await;
        assert_eq!(mode(&file), 0o600, "tightened again");
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_many_may_start_at_once() {
        let directory = directory();
        let both = tokio::join!(open(&directory), open(&directory), open(&directory));
        assert!(both.2.keys().await.expect("listed").is_empty());
        let options = sqlx::sqlite::SqliteConnectOptions::new();
        let pool =
            sqlx::SqlitePool::connect_with(options.filename(directory.path().join("data/kinora.sqlite")));
        let pool = pool.await.expect("open");
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                     VALUES (9999, 'of the future', TRUE, x'00', 0)";
        sqlx::query(newer).execute(&pool).await.expect("written");
        let config = load(None, &[]).expect("fine").catalog;
        let refused = Catalog::open(&config, &directory.path().join("data")).await;
        assert!(matches!(refused, Err(metadata::Error::NewerSchema { found: 9999, .. })), "{refused:?}");
    }
}

mod commands {
    use super::*;

    fn kinora(directory: &TempDir, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.env_clear().env("KINORA__DATA__DIR", directory.path().join("data"));
        command.args(arguments).output().expect("runs")
    }

    fn said(output: &Output) -> String {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout.clone()).expect("text").trim_end().to_owned()
    }

    fn refusal(output: &Output) -> String {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr.clone()).expect("text")
    }

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(text).expect("JSON")
    }

    const PAIR: [&str; 7] = [
        "key",
        "create",
        "signing",
        "--id",
        "TESTACCESSID0001",
        "--secret",
        "00112233445566778899aabbccddeeff",
    ];

    #[test]
    fn check_says_all_and_exits_with_one() {
        let directory = directory();
        assert!(said(&kinora(&directory, &["check"])).contains("fine"));
        let file = written(&directory, "[cache]\nmemroy = 1\nmemory = \"much\"");
        let output = kinora(&directory, &["check", "--config", file.to_str().expect("text")]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in
            ["2 problems", "cache.memroy = 1", "kinora.toml", "cache.memory = \"much\"", "must be a size"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!directory.path().join("data").exists(), "checking makes nothing");
    }

    #[test]
    fn keys_are_made_listed_and_revoked() {
        let directory = directory();
        assert!(said(&kinora(&directory, &["key", "list"])).contains("no keys yet"));
        assert_eq!(said(&kinora(&directory, &["key", "list", "--json"])), "[]");
        assert!(!directory.path().join("data").exists(), "listing makes nothing");
        let issued = json(&said(&kinora(&directory, &["key", "create", "api", "--name", "shop", "--json"])));
        assert_eq!(issued["kind"], "api");
        let (id, secret) = (issued["id"].as_str().expect("id"), issued["secret"].as_str().expect("secret"));
        assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
        let listed = said(&kinora(&directory, &["key", "list"]));
        assert!(listed.contains(id) && listed.contains("shop") && !listed.contains(secret), "{listed}");
        assert_eq!(said(&kinora(&directory, &["key", "revoke", id])), format!("revoked {id}"));
        assert!(refusal(&kinora(&directory, &["key", "revoke", id])).contains("no active key"));
        let listed = json(&said(&kinora(&directory, &["key", "list", "--json"])));
        assert!(listed[0]["revoked_at"].is_u64(), "{listed}");
        let upload = said(&kinora(&directory, &["key", "create", "upload", "--any-origin"]));
        assert!(upload.contains("not shown again"), "{upload}");
        for nonsense in [
            &["key", "create", "signing", "--any-origin"][..],
            &["key", "create", "api", "--scopes", "everything"],
            &["key", "create", "api", "--id", "a.b", "--secret", "0123456789abcdef"],
        ] {
            assert_eq!(kinora(&directory, nonsense).status.code(), Some(1), "{nonsense:?}");
        }
        assert_eq!(kinora(&directory, &["key", "create", "api", "--id", "x"]).status.code(), Some(2));
    }

    #[test]
    fn signing_and_explaining_agree() {
        let directory = directory();
        let path = "/media/photos/cat.jpg?resize=300,300";
        assert!(
            refusal(&kinora(&directory, &["sign", path, "--expires", "1h"])).contains("key create signing")
        );
        said(&kinora(&directory, &PAIR));
        let signed = said(&kinora(&directory, &["sign", path, "--expires", "1h"]));
        assert!(signed.starts_with(&format!("{path}&expiry=")), "{signed}");
        assert!(signed.contains("&accessId=TESTACCESSID0001&signature="), "{signed}");

        let explained = said(&kinora(&directory, &["explain", &format!("https://cdn.example.org{signed}")]));
        for part in [
            "photos/cat.jpg",
            "let in: the signature by the key TESTACCESSID0001 holds",
            "media/photos/cat.jpg?resize=300,300&expiry=",
            "Chrome",
            "image/avif",
            "curl",
            "JPEG or PNG",
            "no bucket yet",
            "/media/photos/cat.jpg?resize=300,300&format=avif",
        ] {
            assert!(explained.contains(part), "{part}: {explained}");
        }
        assert!(!explained.contains("00112233445566778899aabbccddeeff"), "no secret");
        let bucket = directory.path().join("data/bucket");
        fs::create_dir(&bucket).expect("made");
        fs::write(bucket.join("landscape.jpg"), kinora::server::SAMPLES[0].1).expect("written");
        let planned = said(&kinora(&directory, &["explain", "/media/landscape.jpg?resize=800,"]));
        assert!(planned.contains("JPEG 2000x1333") && planned.contains("image/avif 800x53"), "{planned}");
        let missing = said(&kinora(&directory, &["explain", "/media/sea.jpg?resize=800,"]));
        assert!(missing.contains("no such object"), "{missing}");
        let forged = signed.replace("300,300", "3000,300");
        let explained = said(&kinora(&directory, &["explain", &forged, "--accept", "image/webp"]));
        assert!(explained.contains("refused: the proof does not hold"), "{explained}");
        assert!(
            explained.contains("Accept        image/webp") && !explained.contains("Chrome"),
            "{explained}"
        );
        assert!(refusal(&kinora(&directory, &["explain", "/media/a.jpg?quality=500"])).contains("quality"));
        assert_eq!(kinora(&directory, &["explain", "nonsense"]).status.code(), Some(1));
    }

    #[test]
    fn a_path_token_opens_what_lies_below_its_prefix() {
        let directory = directory();
        said(&kinora(&directory, &PAIR));
        let sign = |path: &str, prefix: &str| {
            kinora(&directory, &["sign", path, "--expires", "1h", "--scope", prefix, "--kinds", "io"])
        };
        let signed = said(&sign("/media/a/b.jpg?resize=10,10", "/media/a/"));
        assert!(signed.starts_with("/~TESTACCESSID0001.") && signed.ends_with("/media/a/b.jpg?resize=10,10"));
        let explained = said(&kinora(&directory, &["explain", &signed]));
        assert!(
            explained.contains("let in: the path token by the key TESTACCESSID0001 holds"),
            "{explained}"
        );
        assert!(refusal(&sign("/media/ab/c.jpg", "/media/a")).contains("below"));
        let unknown = ["sign", "/media/a", "--expires", "1h", "--key", "NOBODY"];
        assert!(refusal(&kinora(&directory, &unknown)).contains("NOBODY"));
        let kinds = ["sign", "/media/a", "--expires", "1h", "--scope", "/media", "--kinds", "xyz"];
        assert_eq!(kinora(&directory, &kinds).status.code(), Some(2));
    }
}

mod first_start {
    use super::*;
    use kinora::server::{SAMPLES, first_start};

    async fn start(config: &Config) -> Option<String> {
        let catalog = Catalog::open(&config.catalog, &config.data.dir).await.expect("open");
        let welcome = first_start(config, &catalog, 1000).await.expect("started");
        welcome.map(|welcome| welcome.text("http://127.0.0.1:8080", 1000).expect("text"))
    }

    fn config(directory: &TempDir, more: &[(&str, &str)]) -> Config {
        let data = directory.path().join("data");
        let environment = [&[("KINORA__DATA__DIR", data.to_str().expect("text"))], more].concat();
        load(None, &environment).expect("fine")
    }

    #[tokio::test]
    async fn keys_and_samples_are_made_once() {
        let directory = directory();
        let config = config(&directory, &[]);
        let text = start(&config).await.expect("the first one");
        for part in ["API key", "upload key", "signing key", "access id", "not shown again"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (key, bytes) = SAMPLES.first().expect("a sample");
        assert_eq!(&fs::read(config.data.dir.join("bucket").join(key)).expect("laid out"), bytes);
        for part in [
            format!("http://127.0.0.1:8080/media/{key}\n"),
            format!("/media/{key}?resize=800,600&expiry=87400&"),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
        assert!(
            SAMPLES.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < 2 << 20,
            "small in the program"
        );
        assert_eq!(start(&config).await, None, "only once");
    }

    #[tokio::test]
    async fn a_bucket_with_objects_is_left_alone_and_a_missing_one_is_told() {
        let directory = directory();
        let bucket = directory.path().join("photos");
        let own = [("KINORA__ORIGIN__DIRECTORY__PATH", bucket.to_str().expect("text"))];
        let own = config(&directory, &[own[0], ("KINORA__DELIVERY__REQUIRE_SIGNATURE", "true")]);
        let catalog = Catalog::open(&own.catalog, &own.data.dir).await.expect("open");
        assert!(first_start(&own, &catalog, 1).await.is_err(), "a mistyped path makes no bucket");
        assert!(catalog.keys().await.expect("listed").is_empty(), "and no keys that nobody has seen");
        fs::create_dir(&bucket).expect("made");
        fs::write(bucket.join("my cat.JPG"), "x").expect("written");
        let text = start(&own).await.expect("the first one");
        assert!(text.contains("/media/my%20cat.JPG?resize=800,600&expiry="), "{text}");
        assert!(!text.contains("  picture"), "an unsigned URL would not work: {text}");
        assert_eq!(fs::read_dir(&bucket).expect("readable").count(), 1);
    }
}
