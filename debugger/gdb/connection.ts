/** One debugger at the other end of a line: packets in and out, acknowledged until both sides agree that the line loses nothing. */
import { PacketReader, encodePacket } from './packet';

/** Of packet bodies, both ways; GDB hears of it as PacketSize. */
export const PACKET_SIZE = 0x4000;
/** Times that a packet is sent again because the other side says it was damaged. */
const MOST_RESENDS = 8;

export interface ConnectionListener {
  packet(body: string): void;
  interrupt(): void;
}

export class GdbConnection {
  private readonly reader: PacketReader;
  private acknowledging = true;
  private last: Uint8Array | undefined;
  private resends = 0;

  constructor(
    private readonly write: (bytes: Uint8Array) => void,
    listener: ConnectionListener,
  ) {
    this.reader = new PacketReader(PACKET_SIZE, {
      packet: (body) => {
        this.acknowledge('+');
        listener.packet(body);
      },
      malformed: () => this.acknowledge('-'),
      tooLong: () => {
        this.acknowledge('+');
        this.send('E16');
      },
      acknowledged: (good) => this.acknowledged(good),
      interrupt: () => listener.interrupt(),
    });
  }

  receive(bytes: Uint8Array): void {
    this.reader.receive(bytes);
  }

  send(body: string): void {
    this.last = encodePacket(body);
    this.resends = 0;
    this.write(this.last);
  }

  /** QStartNoAckMode: from the next packet on nobody acknowledges. */
  stopAcknowledging(): void {
    this.acknowledging = false;
  }

  private acknowledge(sign: '+' | '-'): void {
    if (this.acknowledging) this.write(Buffer.from(sign));
  }

  private acknowledged(good: boolean): void {
    if (good || !this.acknowledging || this.last === undefined || this.resends++ >= MOST_RESENDS) return;
    this.write(this.last);
  }
}
