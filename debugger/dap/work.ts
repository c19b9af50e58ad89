/** What the guest is doing for a client: a motion or a command, piece by piece, with the rest of the process in between. */
import { DebugError } from '../target';

interface Going<T> {
  readonly generator: Generator<undefined, T, undefined>;
  readonly done: (result: T) => void;
  readonly failed: (error: unknown) => void;
}

export class Work {
  private going: { readonly piece: () => boolean; readonly drop: () => void } | undefined;
  private waiting: (() => void)[] = [];

  /** @param flush hands on what the guest has printed, between pieces. */
  constructor(private readonly flush: () => void) {}

  get busy(): boolean {
    return this.going !== undefined;
  }

  /** Throws DebugError while something else goes on. */
  start<T>(generator: Generator<undefined, T, undefined>, done: (result: T) => void, failed: (error: unknown) => void): void {
    if (this.going !== undefined) throw new DebugError('the guest is running: pause it first');
    const mine = { piece: () => this.piece({ generator, done, failed }), drop: () => void generator.return(undefined as never) };
    this.going = mine;
    const next = (): void => {
      if (this.going === mine && mine.piece()) setImmediate(next);
    };
    setImmediate(next);
  }

  /** Answers whether there is more to do. */
  private piece<T>({ generator, done, failed }: Going<T>): boolean {
    let tell: () => void;
    try {
      const { done: over, value } = generator.next();
      if (over !== true) {
        this.flush();
        return true;
      }
      tell = () => done(value);
    } catch (error) {
      tell = () => failed(error);
    }
    this.flush();
    this.over();
    tell();
    return false;
  }

  private over(): void {
    this.going = undefined;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Ends what goes on, at a valid place. */
  drop(): void {
    this.going?.drop();
    this.over();
  }

  settled(): Promise<void> {
    return this.busy ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }
}
