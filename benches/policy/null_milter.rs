//! The null milters: tokio's usual runtime with a thread for each processor. They negotiate the steps they are told, and let
//! the mail server go on with everything. The bare one parses nothing but the heads of packets: the ceiling of the protocol
//! and of the load generator. The other one is the library that stargreyd speaks the protocol with, and nothing else.

use std::future::pending;
use std::io;
use std::path::Path;

use indymilter::{CallbackFuture, Callbacks, Config, ProtoOpts, Status};
use sd_notify::NotifyState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::peers::milter::{
    BODY, CONNECT, Command, DATA, END_OF_HEADER, HEADER, HELO, MAIL, RCPT, Steps, write,
};

/// The argument that makes this program a null milter.
pub(crate) const NULL_MILTER: &str = "--null-milter";

/// The argument after the steps that makes it the library's.
pub(crate) const OF_LIBRARY: &str = "indymilter";

/// The most connections that the library takes.
const CONNECTIONS: usize = 10_000;

/// All commands that are replied to, but the end of a message.
const COMMANDS: [Command; 8] = [CONNECT, HELO, MAIL, RCPT, DATA, HEADER, END_OF_HEADER, BODY];

/// The version of the protocol.
const VERSION: u32 = 6;

/// What the null milter negotiates: the bits of the steps.
type Bits = u32;

/// Runs a null milter, which negotiates these steps.
pub(crate) fn be_null(socket: &Path, steps: &str, kind: &str) -> io::Result<()> {
    let steps: Bits = steps.parse().map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        sd_notify::notify(&[NotifyState::Ready])?;
        if kind == OF_LIBRARY {
            let config = Config {
                max_connections: CONNECTIONS,
                ..Config::default()
            };
            return indymilter::run(listener, callbacks(steps), config, pending::<()>()).await;
        }
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(accept_everything(stream, steps));
        }
    })
}

/// Replies to the packets of a session.
async fn accept_everything(mut stream: UnixStream, bits: Bits) -> io::Result<()> {
    let chosen = [VERSION, 0, bits].map(u32::to_be_bytes).concat();
    let steps = Steps::chosen(VERSION, &chosen).ok_or(io::ErrorKind::InvalidInput)?;
    let mut input = Vec::with_capacity(4096);
    let mut output = Vec::new();
    while stream.read_buf(&mut input).await? > 0 {
        while let Some(length) = packet_length(&input).filter(|length| *length <= input.len()) {
            match input.get(4) {
                Some(b'O') => {
                    // The version and the actions of the offer.
                    let kept = input.get(5..13).unwrap_or_default();
                    write(&mut output, b'O', &[kept, &bits.to_be_bytes()]);
                }
                Some(b'Q') => return Ok(()),
                Some(b'E') => write(&mut output, b'c', &[]),
                letter => {
                    let mut commands = COMMANDS.iter();
                    let command = commands.find(|command| Some(&command.letter) == letter);
                    if command.is_some_and(|command| steps.has_reply(command)) {
                        write(&mut output, b'c', &[]);
                    }
                }
            }
            input.drain(..length);
        }
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}

/// The callbacks of the library, which only let the mail server go on.
fn callbacks(bits: Bits) -> Callbacks<()> {
    let steps = ProtoOpts::from_bits_truncate(bits);
    let go_on = move |no_reply| {
        let status = if steps.contains(no_reply) {
            Status::Noreply
        } else {
            Status::Continue
        };
        let future: CallbackFuture<'static> = Box::pin(async move { status });
        future
    };
    Callbacks::new()
        .on_negotiate(move |context, actions, _| {
            context.requested_actions = actions;
            context.requested_opts = steps;
            Box::pin(async { Status::Continue })
        })
        .on_connect(move |_, _, _| go_on(ProtoOpts::NOREPLY_CONNECT))
        .on_helo(move |_, _| go_on(ProtoOpts::NOREPLY_HELO))
        .on_mail(move |_, _| go_on(ProtoOpts::NOREPLY_MAIL))
        .on_rcpt(move |_, _| go_on(ProtoOpts::NOREPLY_RCPT))
        .on_data(move |_| go_on(ProtoOpts::NOREPLY_DATA))
        .on_header(move |_, _, _| go_on(ProtoOpts::NOREPLY_HEADER))
        .on_body(move |_, _| go_on(ProtoOpts::NOREPLY_BODY))
        .on_eom(|_| Box::pin(async { Status::Continue }))
}

/// The length of the packet that these bytes begin with, once its head has come.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    usize::try_from(length).ok()?.checked_add(4)
}
