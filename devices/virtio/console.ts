/** Console device with one port: VIRTIO 1.2, "Console Device". */
import type { AccessSize } from '../bus';
import type { DescriptorChain } from './descriptor-chain';
import type { RequestResult, VirtioDeviceType } from './device-type';
import { BROKEN } from './split-queue';

const Queue = { RECEIVE: 0, TRANSMIT: 1 } as const;
const Feature = { SIZE: 1 << 0, EMERG_WRITE: 1 << 2 } as const;
const EMERG_WR = 8;
const CONFIG_BYTES = 12;
const [COLUMNS, ROWS] = [80, 25];
const CHUNK = 4096;
/** What one chain may send: a driver that says more than any memory holds shall not keep the machine busy. */
const LONGEST_OUTPUT = 1 << 20;

export interface ConsoleState {
  /** Input that the driver has made no room for yet. */
  received: number[];
}

export class VirtioConsole implements VirtioDeviceType {
  readonly deviceId = 3;
  readonly name = 'console device';
  readonly classCode = 0x07_8000;
  readonly queues = [64, 64];
  readonly features = Feature.SIZE | Feature.EMERG_WRITE;
  private received: number[] = [];
  private kick: () => void = () => {};

  /** @param output gets the bytes that the guest sends. */
  constructor(private readonly output: (byte: number) => void) {}

  attach(kick: () => void): void {
    this.kick = kick;
  }

  /** Bytes for the guest. */
  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.received.push(byte);
    this.kick();
  }

  config(): Uint8Array {
    const bytes = new Uint8Array(CONFIG_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, COLUMNS, true);
    view.setUint16(2, ROWS, true);
    view.setUint32(4, 1, true); // max_nr_ports
    return bytes;
  }

  /** "Emergency write": output before there are queues. */
  writeConfig(offset: number, _size: AccessSize, value: number): void {
    if (offset === EMERG_WR) this.output(value & 0xff);
  }

  process(queue: number, chain: DescriptorChain): RequestResult {
    return queue === Queue.TRANSMIT ? this.transmit(chain) : this.fill(chain);
  }

  private transmit(chain: DescriptorChain): RequestResult {
    // "The driver MUST NOT put a device-writable buffer in the transmit queue".
    if (chain.writableBytes > 0 || chain.readableBytes > LONGEST_OUTPUT) return BROKEN;
    for (let at = 0; at < chain.readableBytes; at += CHUNK) {
      const bytes = chain.read(at, Math.min(CHUNK, chain.readableBytes - at));
      if (bytes === undefined) return BROKEN;
      for (const byte of bytes) this.output(byte);
    }
    return 0;
  }

  private fill(chain: DescriptorChain): RequestResult {
    // "The driver MUST NOT put a device-readable buffer in a receive queue".
    if (chain.readableBytes > 0 || chain.writableBytes === 0) return BROKEN;
    if (this.received.length === 0) return 'wait';
    const bytes = Uint8Array.from(this.received.splice(0, chain.writableBytes));
    return chain.write(0, bytes) ? bytes.length : BROKEN;
  }

  saveState(): ConsoleState {
    return { received: [...this.received] };
  }

  restoreState(state: unknown): void {
    this.received = [...(state as ConsoleState).received];
  }
}
