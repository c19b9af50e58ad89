/** Address line 20 follows the OR of two masters: keyboard controller output port bit 1 and port 92h bit 1. */
import type { Stateful } from '../memory/stateful';

export interface A20State {
  keyboardController: boolean;
  port92: boolean;
}

export class A20Gate implements Stateful<A20State> {
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

  saveState(): A20State {
    const { keyboardController, port92 } = this;
    return { keyboardController, port92 };
  }

  restoreState({ keyboardController, port92 }: A20State): void {
    this.set('keyboardController', keyboardController);
    this.set('port92', port92);
  }
}
