/**
 * Framing of the GDB remote serial protocol (GDB manual, "Overview" of the remote protocol): $body#checksum, with '}' before an escaped
 * byte and '*' before a repeat count. Bodies are text with one character for each byte.
 */

export interface PacketListener {
  packet(body: string): void;
  /** Bad checksum, or escapes and repeats that mean nothing: the sender should send it again. */
  malformed(): void;
  /** Dropped, because no packet may have so many bytes. */
  tooLong(): void;
  /** '+' or '-': what the other side thinks of our last packet. */
  acknowledged(good: boolean): void;
  /** Ctrl-C. */
  interrupt(): void;
}

const CTRL_C = 0x03;
const [DOLLAR, HASH, STAR, PLUS, MINUS, ESCAPE] = [...'$#*+-}'].map((c) => c.charCodeAt(0));
const ESCAPE_XOR = 0x20;
/** A repeat count is a printable character: this many more copies, plus 29. */
const REPEAT_BIAS = 29;
const [LEAST_REPEAT, MOST_REPEAT] = [3 + REPEAT_BIAS, 126];

type State = 'between' | 'body' | 'checksum';

/** Takes bytes in whatever pieces they come. Nothing that comes in throws. */
export class PacketReader {
  private state: State = 'between';
  private body: number[] = [];
  private overflow = false;
  private sum = 0;
  private digits = '';

  /** @param limit bytes of a body, before and after repeats are written out. */
  constructor(
    private readonly limit: number,
    private readonly listener: PacketListener,
  ) {}

  receive(bytes: Uint8Array): void {
    for (const byte of bytes) this.byte(byte);
  }

  private byte(byte: number): void {
    // A '$' never stands for itself in a packet: the rest of the one before was lost.
    if (byte === DOLLAR) this.begin();
    else if (this.state === 'body') this.bodyByte(byte);
    else if (this.state === 'checksum') this.checksumByte(byte);
    else if (byte === PLUS || byte === MINUS) this.listener.acknowledged(byte === PLUS);
    else if (byte === CTRL_C) this.listener.interrupt();
  }

  private begin(): void {
    this.state = 'body';
    this.body = [];
    this.overflow = false;
    this.sum = 0;
    this.digits = '';
  }

  private bodyByte(byte: number): void {
    if (byte === HASH) return void (this.state = 'checksum');
    this.sum = (this.sum + byte) & 0xff;
    if (this.body.length < this.limit) this.body.push(byte);
    else this.overflow = true;
  }

  private checksumByte(byte: number): void {
    this.digits += String.fromCharCode(byte);
    if (this.digits.length < 2) return;
    this.state = 'between';
    const good = /^[0-9a-f]{2}$/i.test(this.digits) && parseInt(this.digits, 16) === this.sum;
    const body = good && !this.overflow ? decodeBody(this.body, this.limit) : undefined;
    if (good && (this.overflow || body === 'too long')) this.listener.tooLong();
    else if (body === undefined || body === 'too long') this.listener.malformed();
    else this.listener.packet(body.text);
  }
}

/** Undoes escapes and repeats; undefined when they mean nothing. */
function decodeBody(body: readonly number[], limit: number): { readonly text: string } | 'too long' | undefined {
  const out: number[] = [];
  for (let i = 0; i < body.length; i++) {
    if (body[i] === ESCAPE) {
      if (++i === body.length) return undefined;
      out.push(body[i] ^ ESCAPE_XOR);
    } else if (body[i] === STAR) {
      const count = body.at(++i) ?? 0;
      if (out.length === 0 || count < LEAST_REPEAT || count > MOST_REPEAT) return undefined;
      for (let n = count - REPEAT_BIAS; n > 0; n--) out.push(out[out.length - 1]);
    } else out.push(body[i]);
    if (out.length > limit) return 'too long';
  }
  return { text: Buffer.from(out).toString('latin1') };
}

/** Escapes what would end a packet or repeat a character, and adds the checksum. */
export function encodePacket(body: string): Uint8Array {
  const escaped: number[] = [];
  for (const byte of Buffer.from(body, 'latin1')) {
    if (byte === DOLLAR || byte === HASH || byte === STAR || byte === ESCAPE) escaped.push(ESCAPE, byte ^ ESCAPE_XOR);
    else escaped.push(byte);
  }
  const sum = escaped.reduce((a, b) => (a + b) & 0xff, 0);
  const tail = Buffer.from(`#${sum.toString(16).padStart(2, '0')}`, 'latin1');
  return Buffer.concat([Uint8Array.of(DOLLAR, ...escaped), tail]);
}
