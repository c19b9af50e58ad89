/** An MF2 keyboard (101/102 keys, scan code set 2). */
import { PS2_REPLY, Ps2Device } from './ps2-device';

const COMMAND = {
  setLeds: 0xed,
  echo: 0xee,
  scanCodeSet: 0xf0,
  identify: 0xf2,
  typematic: 0xf3,
  enable: 0xf4,
  defaultsDisable: 0xf5,
  defaults: 0xf6,
  keyTypeMake: 0xfc,
  keyTypeTypematic: 0xfb,
  keyTypeMakeBreak: 0xfd,
  resend: 0xfe,
  reset: 0xff,
} as const;
const WITH_PARAMETER: readonly number[] = [
  COMMAND.setLeds,
  COMMAND.scanCodeSet,
  COMMAND.typematic,
  COMMAND.keyTypeTypematic,
  COMMAND.keyTypeMake,
  COMMAND.keyTypeMakeBreak,
];
const DEFAULTS = { leds: 0, scanCodeSet: 2, typematic: 0x2b };
/** First command code; lower bytes are no commands. */
const FIRST_COMMAND = 0xed;

export class Ps2Keyboard extends Ps2Device {
  constructor() {
    super(DEFAULTS, true);
  }

  /** LED bits: scroll lock, num lock, caps lock. */
  get leds(): number {
    return this.state.settings.leds;
  }

  /** Key presses and releases as scan code set 2 bytes, for instance 1Ch, F0h 1Ch for "a". Lost while scanning is disabled. */
  type(scanCodes: readonly number[]): void {
    if (this.state.enabled) this.send(...scanCodes.map((c) => c & 0xff));
  }

  receive(byte: number): void {
    const { awaiting } = this.state;
    // A command in place of a parameter starts anew.
    if (awaiting !== 0 && byte < FIRST_COMMAND) return this.parameter(awaiting, byte);
    this.state.awaiting = 0;
    if (byte !== COMMAND.resend) this.discardOutput();
    switch (byte) {
      case COMMAND.echo:
        return this.send(COMMAND.echo);
      case COMMAND.identify:
        return this.send(PS2_REPLY.acknowledge, 0xab, 0x83);
      case COMMAND.enable:
        this.state.enabled = true;
        break;
      case COMMAND.defaultsDisable:
        this.state.settings = { ...DEFAULTS };
        this.state.enabled = false;
        break;
      case COMMAND.defaults:
        this.state.settings = { ...DEFAULTS };
        break;
      case COMMAND.resend:
        return this.send(this.state.lastSent);
      case COMMAND.reset:
        this.state.settings = { ...DEFAULTS };
        this.state.enabled = true;
        return this.send(PS2_REPLY.acknowledge, PS2_REPLY.selfTestPassed);
      default:
        if (byte < FIRST_COMMAND || byte === 0xef || byte === 0xf1) return this.send(PS2_REPLY.resend);
        if (WITH_PARAMETER.includes(byte)) this.state.awaiting = byte;
    }
    this.send(PS2_REPLY.acknowledge);
  }

  private parameter(command: number, value: number): void {
    this.state.awaiting = 0;
    if (command === COMMAND.scanCodeSet && value === 0) return this.send(PS2_REPLY.acknowledge, this.state.settings.scanCodeSet);
    // Only set 2 exists; Linux asks for another, reads back, and takes what it gets.
    if (command === COMMAND.setLeds) this.state.settings.leds = value & 7;
    if (command === COMMAND.typematic) this.state.settings.typematic = value & 0x7f;
    this.send(PS2_REPLY.acknowledge);
  }
}
