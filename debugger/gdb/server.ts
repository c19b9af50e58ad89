/** Where debuggers connect: a TCP port or a Unix socket. One at a time; a second one is turned away. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import type { GdbStub } from './stub';

export type GdbEndpoint = { readonly kind: 'tcp'; readonly host: string; readonly port: number } | { readonly kind: 'unix'; readonly path: string };

export interface GdbServer {
  /** What to give to GDB's "target remote". */
  readonly address: string;
  close(): void;
}

/** Bytes that may wait for a debugger which does not read. */
const MOST_UNREAD = 16 << 20;

function serve(stub: GdbStub, socket: Socket): void {
  socket.setNoDelay(true);
  const receive = stub.attach((bytes) => {
    if (socket.writableLength > MOST_UNREAD) socket.destroy();
    else socket.write(bytes);
  });
  socket.on('data', (bytes) => receive(bytes));
  socket.on('end', () => socket.end());
  socket.on('error', () => socket.destroy());
  socket.on('close', () => stub.lost(receive));
}

/** Rejects with the error of the operating system when it cannot listen there. */
export async function listenForGdb(stub: GdbStub, endpoint: GdbEndpoint): Promise<GdbServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    if (stub.attached) return void socket.destroy();
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(stub, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    if (endpoint.kind === 'unix') server.listen(endpoint.path, resolve);
    else server.listen(endpoint.port, endpoint.host, resolve);
  });
  return {
    address: endpoint.kind === 'unix' ? endpoint.path : tcpAddress(endpoint.host, server.address() as AddressInfo),
    close: () => {
      for (const socket of sockets) socket.end(() => socket.destroy());
      server.close();
    },
  };
}

const tcpAddress = (host: string, { port }: AddressInfo): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
