/** Where to go back to: the last hit of a condition before here is found by running the past again, stretch by stretch, the nearest first. */
import { comparePositions, type Position, type Stop } from './target';
import type { Checkpoint } from './checkpoints';
import type { Hit, StopConditions } from './stop-conditions';
import type { Timeline } from './timeline';

/** The n-th hit on the way from a snapshot. */
interface Found {
  readonly ordinal: number;
  readonly hit: Hit;
}

type Start = Checkpoint<unknown> & Parameters<Timeline['restore']>[0];

export class ReverseSearch {
  constructor(
    private readonly timeline: Timeline,
    private readonly conditions: StopConditions,
  ) {}

  /** To a place, deaf to conditions. */
  *goTo(instructions: number): Generator<undefined, void, undefined> {
    this.conditions.watch(false);
    yield* this.timeline.muting(this.timeline.goTo(instructions));
  }

  /** To the first moment of the history. */
  atBegin(): Stop {
    const { first } = this.timeline.checkpoints;
    this.conditions.watch(false);
    if (first !== undefined) this.timeline.restore(first);
    return { kind: 'history-begin', explanation: 'this is where the history begins', position: this.timeline.position };
  }

  *toLastHit(): Generator<undefined, Stop, undefined> {
    const { timeline } = this;
    let upper = timeline.position;
    for (const from of [...timeline.checkpoints.all].reverse()) {
      if (comparePositions(from.position, upper) >= 0) continue;
      const found = yield* timeline.muting(this.survey(from, upper, Infinity));
      if (found !== undefined) return yield* this.land(from, found, upper);
      upper = from.position;
    }
    return this.atBegin();
  }

  /** Runs from a snapshot to `upper`; the last hit before it, or the `stopAfter`-th, at which the target then stands. */
  private *survey(from: Start, upper: Position, stopAfter: number): Generator<undefined, Found | undefined, undefined> {
    const { timeline, conditions } = this;
    const { guest } = timeline;
    timeline.restore(from);
    conditions.watch(true);
    conditions.passNothing();
    conditions.surveying = true;
    try {
      let last: Found | undefined;
      for (let ordinal = 1; ;) {
        // Nothing before `upper` happens later than at its tick.
        const raw = timeline.run(upper.ticks + 1);
        const hit = conditions.collect();
        if (hit === undefined) {
          if (raw.kind === 'ended' || raw.kind === 'idle' || guest.time > upper.ticks) return last;
          if (raw.kind === 'limit') yield;
          continue;
        }
        const order = comparePositions(hit.stop.position, upper);
        // The target is before `upper`; an access is made before the stop that tells of it.
        if (hit.access === undefined ? order >= 0 : order > 0 || comparePositions(hit.access.position, upper) >= 0) return last;
        last = { ordinal: ordinal++, hit };
        if (last.ordinal === stopAfter) return last;
        conditions.passHere();
      }
    } finally {
      conditions.surveying = false;
    }
  }

  private *land(from: Start, { ordinal, hit }: Found, upper: Position): Generator<undefined, Stop, undefined> {
    const { timeline } = this;
    const { access, stop } = hit;
    if (access === undefined) yield* timeline.muting(this.survey(from, upper, ordinal));
    else if (access.exit === undefined) yield* this.goTo(access.position.instructions);
    else yield* this.toExit(access.exit);
    if ('id' in stop && stop.id !== undefined) this.conditions.stopped(stop.id);
    return { ...stop, position: timeline.position };
  }

  /** To the exit of a number, before its handler. */
  *toExit(number: number): Generator<undefined, Stop, undefined> {
    const { timeline } = this;
    const from = [...timeline.checkpoints.all].reverse().find((c) => c.position.exits < number);
    if (from === undefined || number < 1) return this.atBegin();
    return yield* timeline.muting(this.runToExit(from, number));
  }

  private *runToExit(from: Start, number: number): Generator<undefined, Stop, undefined> {
    const { timeline, conditions } = this;
    timeline.restore(from);
    conditions.watch(false, number);
    for (;;) {
      const raw = timeline.run(Infinity);
      const hit = conditions.collect();
      if (hit !== undefined) return hit.stop;
      if (raw.kind === 'ended' || raw.kind === 'idle') throw new Error(`exit ${number} did not come again`);
      if (raw.kind === 'limit') yield;
    }
  }
}
