//! sqlite3 in both of its journal modes: what was committed stays, and transactions stay whole.

use super::load::{Dice, Killed, Load, run};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

pub struct Sqlite {
    /// DELETE or WAL.
    pub mode: &'static str,
    /// The last transaction whose COMMIT returned.
    pub committed: u64,
}

/// What row `n` holds, as sqlite says it.
const VALUE: &str = "printf('%.*c', (n * 37) % 3000 + 1, char(65 + n % 26))";

impl Sqlite {
    /// EXTRA syncs the directory after a rollback journal is removed, which is the commit.
    fn settings(&self) -> String {
        format!("PRAGMA journal_mode={}; PRAGMA synchronous=EXTRA; PRAGMA wal_autocheckpoint=40;", self.mode)
    }
    fn ask(&self, dir: &Path, sql: &str) -> Result<String, String> {
        run(Command::new("sqlite3").args(["-batch", "-bail"]).arg(dir.join("base.db")).arg(sql))
    }
}

impl Load for Sqlite {
    fn name(&self) -> String {
        format!("sqlite {}", self.mode)
    }

    fn begin(&mut self, dir: &Path) -> Result<(), String> {
        self.committed = 0;
        let tables = "CREATE TABLE t (n INTEGER PRIMARY KEY, v TEXT); CREATE INDEX i ON t (v);
            CREATE TABLE total (sum INTEGER); INSERT INTO total VALUES (0);";
        self.ask(dir, &format!("{}{tables}", self.settings())).map(|_| ())
    }

    fn work(&mut self, dir: &Path, killed: &Killed, _dice: &mut Dice) -> Result<(), String> {
        let mut child = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .arg(dir.join("base.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(mut to), Some(from)) = (stdin, stdout) else { return Err("no pipes".into()) };
        let mut lines = BufReader::new(from).lines();
        let mut told = writeln!(to, "{} SELECT coalesce(max(n), 0) FROM t;", self.settings()).is_ok();
        while told && !killed.is() {
            // The row in flight when the daemon was killed may be there or not.
            let next = "(SELECT coalesce(max(n), 0) + 1 FROM t)";
            let row = format!("INSERT INTO t SELECT n, {VALUE} FROM (SELECT {next} AS n);");
            let sum = "UPDATE total SET sum = sum + (SELECT max(n) FROM t);";
            told = writeln!(to, "BEGIN IMMEDIATE; {row} {sum} COMMIT; SELECT 'committed ' || max(n) FROM t;")
                .is_ok();
            loop {
                let Some(Ok(line)) = lines.next() else {
                    told = false;
                    break;
                };
                if let Some(n) = line.strip_prefix("committed ") {
                    self.committed = n.parse().map_err(|e| format!("{line}: {e}"))?;
                    break;
                }
            }
        }
        drop(to);
        let ended = child.wait_with_output().map_err(|e| e.to_string())?;
        if killed.is() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into()) }
    }

    fn check(&mut self, dir: &Path) -> Result<String, String> {
        let found = self.ask(
            dir,
            &format!(
                "PRAGMA integrity_check; SELECT count(*), coalesce(max(n), 0) FROM t;
                SELECT count(*) FROM t WHERE v IS NOT {VALUE};
                SELECT (SELECT sum FROM total) - (SELECT coalesce(sum(n), 0) FROM t);"
            ),
        )?;
        let lines: Vec<&str> = found.lines().collect();
        let last = lines.get(1).and_then(|l| l.split_once('|')).filter(|(count, last)| count == last);
        let Some(last) = last.and_then(|(_, last)| last.parse::<u64>().ok()) else { return Err(found) };
        if lines[0] != "ok" || lines[2] != "0" || lines[3] != "0" {
            return Err(found);
        }
        if last < self.committed || last > self.committed + 1 {
            return Err(format!("{} were committed, {last} are there", self.committed));
        }
        let text = format!("{} committed", self.committed);
        self.committed = last;
        Ok(text)
    }
}
