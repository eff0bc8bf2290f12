//! Deleting: a list of objects in one request, or one by one where the server takes no lists.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::S3Store;
use super::failure::{Failure, Kind, chain};
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::Operation;

/// Objects that are deleted at once where each takes a request.
const AT_ONCE: usize = 8;

impl S3Store {
    pub(super) fn delete_objects(&self, keys: &[Key]) -> Result<(), StoreError> {
        checks::delete(keys)?;
        let Some(first) = keys.first() else { return Ok(()) };
        let mut names: Vec<_> = keys.iter().map(|key| self.name(key.as_str())).collect();
        names.sort();
        names.dedup();
        if self.dialect.single_deletes.load(Ordering::Relaxed) {
            return self.delete_each(&names);
        }
        let listed = self.call(Operation::Delete, first.as_str(), async |_| self.delete_list(&names).await);
        match listed {
            // A server without such requests, or one that wants another checksum with them.
            Err(Failure { kind: Kind::Refused, detail }) => {
                self.delete_each(&names)?;
                if !self.dialect.single_deletes.swap(true, Ordering::Relaxed) {
                    tracing::info!(
                        answer = detail,
                        "the server takes no lists of objects to delete; deleting one by one"
                    );
                }
                Ok(())
            }
            listed => listed.map_err(|failure| self.error(Operation::Delete, first.as_str(), failure)),
        }
    }

    async fn delete_list(&self, names: &[String]) -> Result<(), Failure> {
        let objects = names.iter().map(|name| ObjectIdentifier::builder().key(name).build());
        let objects = objects.collect::<Result<Vec<_>, _>>().map_err(|error| bug(&error))?;
        let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let delete = delete.map_err(|error| bug(&error))?;
        let request = self.client().delete_objects().bucket(&self.address.bucket);
        let answer = request.delete(delete).send().await?;
        for error in answer.errors() {
            let failure = Failure::answer(
                200,
                error.code().unwrap_or_default(),
                error.message().unwrap_or_default(),
                "",
            );
            if failure.kind != Kind::NotFound {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// A few at once; the first failure ends it when those under way are done.
    fn delete_each(&self, names: &[String]) -> Result<(), StoreError> {
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || {
            while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.delete_one(name) {
                    next.store(names.len(), Ordering::Relaxed);
                    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..AT_ONCE.min(names.len()) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    fn delete_one(&self, name: &str) -> Result<(), StoreError> {
        let key = self.key_of(name).unwrap_or(name);
        self.request(Operation::Delete, key, async |_| {
            let delete = self.client().delete_object().bucket(&self.address.bucket).key(name);
            match delete.send().await.map_err(Failure::from) {
                Ok(_) | Err(Failure { kind: Kind::NotFound, .. }) => Ok(()),
                Err(failure) => Err(failure),
            }
        })
    }
}

fn bug(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Kind::Refused, chain(error))
}
