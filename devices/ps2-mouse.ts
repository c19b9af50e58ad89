/** A three-button PS/2 mouse with the standard protocol (device id 0). */
import { PS2_REPLY, Ps2Device } from './ps2-device';

const COMMAND = {
  scaling1: 0xe6,
  scaling2: 0xe7,
  resolution: 0xe8,
  status: 0xe9,
  streamMode: 0xea,
  readData: 0xeb,
  resetWrap: 0xec,
  wrapMode: 0xee,
  remoteMode: 0xf0,
  identify: 0xf2,
  sampleRate: 0xf3,
  enable: 0xf4,
  disable: 0xf5,
  defaults: 0xf6,
  resend: 0xfe,
  reset: 0xff,
} as const;
const DEFAULTS = { scaling: 1, resolution: 2, sampleRate: 100, remote: 0, wrap: 0, buttons: 0 };
const clamp = (delta: number): number => Math.max(-255, Math.min(255, Math.trunc(delta)));

export class Ps2Mouse extends Ps2Device {
  constructor() {
    super(DEFAULTS, false);
  }

  /** Movement in counts, right and up positive; `buttons` bit 0 left, 1 right, 2 middle. */
  move(dx: number, dy: number, buttons: number): void {
    this.state.settings.buttons = buttons & 7;
    if (this.state.enabled && this.state.settings.remote === 0) this.send(...this.packet(clamp(dx), clamp(dy)));
  }

  private packet(dx: number, dy: number): number[] {
    return [0x08 | this.state.settings.buttons | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0), dx & 0xff, dy & 0xff];
  }

  receive(byte: number): void {
    const s = this.state.settings;
    if (s.wrap === 1 && byte !== COMMAND.reset && byte !== COMMAND.resetWrap) return this.send(byte);
    const { awaiting } = this.state;
    this.state.awaiting = 0;
    if (awaiting === COMMAND.resolution) s.resolution = byte & 3;
    else if (awaiting === COMMAND.sampleRate) s.sampleRate = byte;
    else return this.command(byte);
    this.send(PS2_REPLY.acknowledge);
  }

  private command(byte: number): void {
    const s = this.state.settings;
    if (byte !== COMMAND.resend) this.discardOutput();
    switch (byte) {
      case COMMAND.scaling1:
      case COMMAND.scaling2:
        s.scaling = byte === COMMAND.scaling2 ? 2 : 1;
        break;
      case COMMAND.resolution:
      case COMMAND.sampleRate:
        this.state.awaiting = byte;
        break;
      case COMMAND.status:
        return this.send(PS2_REPLY.acknowledge, this.statusByte(), s.resolution, s.sampleRate);
      case COMMAND.streamMode:
      case COMMAND.remoteMode:
        s.remote = byte === COMMAND.remoteMode ? 1 : 0;
        break;
      case COMMAND.readData:
        return this.send(PS2_REPLY.acknowledge, ...this.packet(0, 0));
      case COMMAND.resetWrap:
      case COMMAND.wrapMode:
        s.wrap = byte === COMMAND.wrapMode ? 1 : 0;
        break;
      case COMMAND.identify:
        return this.send(PS2_REPLY.acknowledge, 0x00);
      case COMMAND.enable:
      case COMMAND.disable:
        this.state.enabled = byte === COMMAND.enable;
        break;
      case COMMAND.defaults:
        this.toDefaults();
        break;
      case COMMAND.resend:
        return this.send(this.state.lastSent);
      case COMMAND.reset:
        this.toDefaults();
        return this.send(PS2_REPLY.acknowledge, PS2_REPLY.selfTestPassed, 0x00);
      default:
        return this.send(PS2_REPLY.resend);
    }
    this.send(PS2_REPLY.acknowledge);
  }

  private toDefaults(): void {
    this.state.settings = { ...DEFAULTS };
    this.state.enabled = false;
  }

  /** First byte of the status request: modes and buttons, left button in bit 2. */
  private statusByte(): number {
    const s = this.state.settings;
    const buttons = ((s.buttons & 1) << 2) | (s.buttons & 4 ? 2 : 0) | (s.buttons & 2 ? 1 : 0);
    return (s.remote << 6) | (this.state.enabled ? 0x20 : 0) | (s.scaling === 2 ? 0x10 : 0) | buttons;
  }
}
