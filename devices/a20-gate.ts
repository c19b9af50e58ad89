/** Address line 20 follows the OR of two masters: keyboard controller output port bit 1 and port 92h bit 1. */
export class A20Gate {
  private keyboardController = true;
  private port92 = true;

  /** @param onChange called when the gate opens or closes. */
  constructor(private readonly onChange: (enabled: boolean) => void = () => {}) {}

  get enabled(): boolean {
    return this.keyboardController || this.port92;
  }

  set(master: 'keyboardController' | 'port92', level: boolean): void {
    const before = this.enabled;
    this[master] = level;
    if (this.enabled !== before) this.onChange(this.enabled);
  }
}
