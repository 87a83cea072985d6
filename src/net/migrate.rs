//! The exchange of MIGRATE with the other server.

use crate::command::{Broken, Migration, Services};
use crate::resp::Output;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest reply that is read.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Sends the requests, reads the replies, and gives the reply of MIGRATE.
pub async fn migrate(services: &Services, migration: Migration) -> Output {
    let mut lines = Vec::new();
    let broken = exchange(&migration, &mut lines).await.err();
    migration.finish(services, &lines, broken)
}

async fn exchange(migration: &Migration, lines: &mut Vec<Vec<u8>>) -> Result<(), Broken> {
    let limit = migration.timeout;
    let connecting = TcpStream::connect((migration.host.as_str(), migration.port));
    let mut stream = match timeout(limit, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) | Err(_) => return Err(Broken::Connecting),
    };
    match timeout(limit, stream.write_all(&migration.requests)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return Err(Broken::Writing),
    }
    let mut reader = BufReader::new(stream);
    for _ in 0..migration.replies() {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        match timeout(limit, limited.read_until(b'\n', &mut line)).await {
            Ok(Ok(_)) if line.ends_with(b"\r\n") => line.truncate(line.len() - 2),
            _ => return Err(Broken::Reading),
        }
        lines.push(line);
    }
    Ok(())
}
