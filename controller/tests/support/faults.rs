//! Faults that tests ask for.

use super::refusal::Refusal;

#[derive(Debug)]
struct Fault {
    method: String,
    fragment: String,
    code: u16,
    times: usize,
}

/// What is refused, and why.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    writes_left: Option<usize>,
}

impl Faults {
    pub(crate) fn refuse(&mut self, method: &str, fragment: &str, code: u16, times: usize) {
        let (method, fragment) = (method.to_owned(), fragment.to_owned());
        self.faults.push(Fault { method, fragment, code, times });
    }

    pub(crate) fn allow_writes(&mut self, count: Option<usize>) {
        self.writes_left = count;
    }

    /// Whether a request comes to nothing.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Result<(), Refusal> {
        let meant =
            |fault: &&mut Fault| fault.times > 0 && fault.method == method && path.contains(&fault.fragment);
        if let Some(fault) = self.faults.iter_mut().find(meant) {
            fault.times -= 1;
            return Err(Refusal::new(fault.code, "Fault", "a test asked for this"));
        }
        match &mut self.writes_left {
            _ if method == "GET" => Ok(()),
            None => Ok(()),
            // Not 429 or 5xx with a retry: the client would try again by itself.
            Some(0) => Err(Refusal::new(403, "Forbidden", "a test allows no more writes")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}
