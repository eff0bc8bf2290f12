//! tmp
use coffer_format::*;
fn b(context: ObjectContext) { let key = PackKey::from_entropy([7; 32]); let sealer = FrameSealer::new(Suite::Aes256Gcm, key, &context).unwrap(); let second = FrameSealer::new(Suite::Aes256Gcm, key, &context).unwrap(); }
