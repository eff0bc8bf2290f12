//! Key files: round trips, halves that fit, and no secret in any debug output.

use coffer_format::{
    BlockHasher, FormatError, FrameOpener, FrameSealer, KeyFile, KeyKind, PackKey, RepositoryId, Secret32,
    SecretsWish, Suite, generate_chain_pair,
};
use proptest::prelude::*;

use crate::samples;

proptest! {
    #[test]
    fn key_files_come_back(start in any::<u8>(), repository in any::<[u8; 16]>()) {
        let repository = RepositoryId::from_bytes(repository);
        let recovery = KeyFile::generate_team(repository, samples::plan().team, &mut samples::entropy(start));
        let writer = recovery.writer_key(samples::id(start), &mut samples::entropy(!start)).unwrap();
        let next = recovery.rotate(2, SecretsWish::Keep, &mut samples::entropy(start ^ 1)).unwrap();
        let later = next.rotate(9, SecretsWish::Replace, &mut samples::entropy(start ^ 2)).unwrap();
        for key in [recovery, writer, next, later] {
            let text = key.encode();
            let decoded = KeyFile::decode(&text).unwrap();
            prop_assert_eq!(&*decoded.encode(), &*text);
            prop_assert_eq!(decoded.kind, key.kind);
            prop_assert!(KeyFile::decode(text.trim_end()).is_ok());
        }
    }
}

#[test]
fn every_changed_character_is_noticed() {
    for key in [samples::recovery_key(), samples::writer_key()] {
        let text = key.encode();
        let line = text.trim_end();
        for index in 0..line.len() {
            let mut bytes = line.as_bytes().to_vec();
            bytes[index] ^= 1;
            let decoded = std::str::from_utf8(&bytes).map(KeyFile::decode);
            assert!(matches!(decoded, Ok(Err(_))), "character {index}");
            assert!(KeyFile::decode(&line[..index]).is_err(), "cut at {index}");
        }
    }
}

#[test]
fn a_writer_key_signs_and_does_not_read_or_make_keys() {
    let writer = samples::writer_key();
    assert_eq!((writer.kind, samples::recovery_key().kind), (KeyKind::Writer, KeyKind::Recovery));
    let text = writer.encode();
    assert!(text.contains("\"x25519_private\":null,\"ed25519_private\":null"));
    let needed = |error| matches!(error, FormatError::RecoveryKeyNeeded { .. });
    assert!(needed(writer.writer_key(samples::id(1), &mut samples::entropy(1)).unwrap_err()));
    assert!(needed(writer.rotate(2, SecretsWish::Keep, &mut samples::entropy(1)).unwrap_err()));
    assert!(needed(writer.team_statement().unwrap_err()));
}

#[test]
fn a_rotation_keeps_what_opens_old_chains() {
    let first = samples::recovery_key();
    let rotate = |key: &KeyFile, generation, wish| key.rotate(generation, wish, &mut samples::entropy(3));
    let second = rotate(&first, 2, SecretsWish::Keep).unwrap();
    let statement = first.publish(&second).unwrap();
    assert_eq!(first.publish(&second).unwrap(), statement, "the same each time");
    assert!(second.publish(&first).is_err() && first.publish(&first).is_err(), "the other way round");
    assert!(second.team_statement().is_err(), "one before signs it");
    assert_eq!(second.generation_before(), Some(1));
    let hash = |key: &KeyFile, generation| *key.secrets_of(generation).unwrap().hash.expose();
    assert_eq!((second.secrets.len(), statement.payload.secrets), (1, 1), "the same secrets");
    assert_eq!(hash(&second, 1), hash(&first, 1), "old points stay readable");
    let fifth = rotate(&second, 5, SecretsWish::Replace).unwrap();
    assert!(first.publish(&fifth).is_err(), "one in between");
    let statement = second.publish(&fifth).unwrap();
    assert_eq!((statement.payload.signed_by, statement.payload.secrets), (2, 5), "over a gap");
    assert_eq!(fifth.pinned.iter().map(|pinned| pinned.generation).collect::<Vec<_>>(), [1, 2, 5]);
    assert_eq!(hash(&fifth, 1), hash(&first, 1));
    assert_ne!(hash(&fifth, 5), hash(&first, 1), "new secrets");
    assert!(matches!(second.secrets_of(5), Err(FormatError::SecretsUnknown { generation: 5, held: 1 })));
    for generation in [0, 1, 2] {
        assert!(rotate(&second, generation, SecretsWish::Keep).is_err(), "not later: {generation}");
    }
}

#[test]
fn halves_that_do_not_fit_are_refused() {
    let good = samples::recovery_key();
    let other =
        KeyFile::generate_team(samples::repository(), samples::plan().team, &mut samples::entropy(200));
    let refused = |change: &dyn Fn(&mut KeyFile)| {
        let mut key = good.clone();
        change(&mut key);
        matches!(
            KeyFile::decode(&key.encode()),
            Err(FormatError::Inconsistent { .. } | FormatError::Signature { .. } | FormatError::Range { .. })
        )
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|key| key.x25519_public = other.x25519_public), "X25519");
    assert!(refused(&|key| key.writer = other.writer.clone()), "writer key");
    assert!(refused(&|key| key.certificate = other.certificate.clone()), "certificate");
    assert!(
        refused(&|key| (key.writer, key.certificate) = (other.writer.clone(), other.certificate.clone())),
        "team"
    );
    assert!(refused(&|key| key.pinned = other.pinned.clone()), "pinned");
    assert!(refused(&|key| key.pinned.clear()), "nothing pinned");
    assert!(refused(&|key| key.pinned.insert(0, key.pinned[0])), "pinned twice");
    assert!(refused(&|key| key.pinned[0].generation = 2), "no first generation");
    assert!(refused(&|key| key.secrets.clear()), "no secrets");
    assert!(refused(&|key| key.secrets.push(key.secrets[0].clone())), "secrets twice");
    assert!(refused(&|key| key.secrets[0].generation = 2), "secrets of a generation that is not pinned");
    assert!(refused(&|key| key.generation = 2), "generation");
    assert!(refused(&|key| key.recovery = None), "kind");
}

/// Any run of eight hexadecimal digits or decimal bytes of `secret` in `text`.
fn shows(text: &str, secret: &[u8; 32]) -> bool {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal = format!("{:?}", &secret[..4]);
    let decimal = decimal.trim_matches(['[', ']']).to_owned();
    (0..=hex.len() - 8).any(|at| text.to_lowercase().contains(&hex[at..at + 8])) || text.contains(&decimal)
}

#[test]
fn secrets_do_not_show() {
    let secret = [0xd7; 32];
    assert!(shows(&format!("{secret:?}"), &secret) && shows("..D7d7d7D7", &secret), "the test can fail");
    let context = samples::pack_context(0);
    let sealer = FrameSealer::new(Suite::Aes256Gcm, PackKey::from_entropy(secret), &context).unwrap();
    let key: PackKey = PackKey::from_entropy(secret).into();
    let mut entropy = |out: &mut [u8]| out.fill(0xd7);
    let file = KeyFile::generate_team(samples::repository(), samples::plan().team, &mut entropy);
    let shown = [
        format!("{:?}", Secret32::new(secret)),
        format!("{:?}", PackKey::from_entropy(secret)),
        format!("{:?}", FrameOpener::new(Suite::None, &key, &context)),
        format!("{key:?} {sealer:?}"),
        format!("{:?}", generate_chain_pair(secret).0),
        format!("{file:?}"),
        format!("{:?} {:?}", file.secrets, file.signer()),
        format!("{:?}", file.recovery),
        format!("{:?}", BlockHasher::new(&file.newest_secrets().secrets, &samples::repository())),
    ];
    for text in shown {
        assert!(text.contains("[redacted]") && !shows(&text, &secret), "{text}");
    }
}

#[test]
fn a_key_file_error_does_not_quote_a_secret() {
    let text = samples::recovery_key().encode();
    let secret = samples::recovery_key().newest_secrets().secrets.hash.clone();
    let hex: String = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    for broken in [
        text.replacen("\"generation\":1", &format!("\"generation\":\"{hex}\""), 1),
        text.replacen(&format!("\"hash_secret\":\"{hex}\""), &format!("\"hash_secret\":\"{hex}0\""), 1),
        text.replacen("\"pinned\":[", &format!("\"pinned\":[\"{hex}\","), 1),
    ] {
        let error = KeyFile::decode(&broken).unwrap_err();
        let shown =
            format!("{error:?} {error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(!shows(&shown, secret.expose()), "{shown}");
    }
}
