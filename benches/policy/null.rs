//! The null server: the same runtime and as many threads, which reads up to the empty line and answers
//! `DUNNO` without having looked.

use std::io;
use std::path::Path;

use sd_notify::NotifyState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// The argument that makes this program the null server.
pub(crate) const NULL: &str = "--null-server";

/// Is the null server, for ever.
pub(crate) fn be_null(socket: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        sd_notify::notify(&[NotifyState::Ready])?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(answer_blindly(stream));
        }
    })
}

/// Answers whatever ends with an empty line.
async fn answer_blindly(mut stream: UnixStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(2048);
    while stream.read_buf(&mut buffer).await? > 0 {
        if buffer.ends_with(b"\n\n") {
            buffer.clear();
            stream.write_all(b"action=DUNNO\n\n").await?;
        }
    }
    Ok(())
}
