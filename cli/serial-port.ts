/** The host's end of the guest's serial port. Output is collected and handed on in pieces, so that a character costs no system call. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { requireSocketPath } from './socket-path';
import { fileError } from './user-error';

export interface SerialPort {
  /** Called with each byte that the guest sends. */
  output(byte: number): void;
  /** Hands on what was collected. */
  flush(): void;
  close(): void;
  /** Whoever is at the other end does not take what it was given. */
  readonly full?: boolean;
}

const BUFFER_SIZE = 1 << 16;
/** Milliseconds for which a client that takes nothing is waited for at the end. */
const CLIENT_GRACE = 1000;

/** Collects bytes and passes them to `write`. The bytes are valid during the call only. */
export class BufferedOutput implements SerialPort {
  private readonly buffer = new Uint8Array(BUFFER_SIZE);
  private used = 0;
  /** The last byte ever sent, -1 when none. */
  last = -1;

  constructor(
    private readonly write: (bytes: Uint8Array) => void,
    private readonly end: () => void = () => {},
  ) {}

  output(byte: number): void {
    if (this.used === BUFFER_SIZE) this.flush();
    this.buffer[this.used++] = byte;
    this.last = byte;
  }

  flush(): void {
    if (this.used === 0) return;
    const bytes = this.buffer.subarray(0, this.used);
    this.used = 0;
    this.write(bytes);
  }

  close(): void {
    this.flush();
    this.end();
  }
}

/** Throws UserError if the file cannot be written. */
export function fileSerial(path: string): SerialPort {
  let file: number;
  try {
    file = openSync(path, 'w');
  } catch (error) {
    throw fileError(error, 'write serial output to', path);
  }
  return new BufferedOutput(
    (bytes) => {
      try {
        for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
      } catch (error) {
        throw fileError(error, 'write serial output to', path);
      }
    },
    () => closeSync(file),
  );
}

/**
 * Listens on a Unix socket; one client at a time. What the guest sends while nobody listens is lost, as on a wire; a client that does not
 * read makes the port full, until `drained` is called. Throws UserError where nobody can listen.
 */
export async function unixSerial(path: string, input: (bytes: Uint8Array) => void, drained: () => void): Promise<SerialPort> {
  requireSocketPath(path);
  let client: Socket | undefined;
  const server = createServer((socket) => {
    client?.destroy();
    client = socket;
    socket.on('data', (bytes) => input(new Uint8Array(bytes)));
    socket.on('error', () => socket.destroy());
    socket.on('drain', drained);
    socket.on('close', () => {
      if (client === socket) client = undefined;
      drained();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(fileError(error, 'listen on', path)));
    server.listen(path, resolve);
  });
  const port = new BufferedOutput((bytes) => void client?.write(bytes.slice()));
  return {
    output: (byte) => port.output(byte),
    flush: () => port.flush(),
    close: () => {
      port.flush();
      const last = client;
      last?.setTimeout(CLIENT_GRACE, () => last.destroy());
      last?.end();
      server.close();
    },
    get full() {
      return client?.writableNeedDrain === true;
    },
  };
}
