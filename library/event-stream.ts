/**
 * Listeners, and the hooks that feed them. A hook is put into the machine when its first listener comes and taken out with the last one,
 * so that what nobody hears costs nothing.
 */
import { Hear, requireArgument, requireEvent } from './arguments';
import type { ComputerEvents, EventName, Listener } from './events';

/** Puts a hook into the machine; returns how to take it out. */
export type InstallHook<K extends EventName> = (emit: (event: ComputerEvents[K]) => void) => () => void;
export type Hooks = { readonly [K in EventName]: InstallHook<K> };

interface Channel {
  readonly listeners: Set<(event: never) => void>;
  remove: (() => void) | undefined;
}

export class EventStream {
  private readonly channels = new Map<EventName, Channel>();

  constructor(private readonly hooks: Hooks) {}

  /** @returns how to stop listening; calling it again does nothing. Throws TypeError for a name that no event has. */
  on<K extends EventName>(name: K, listener: Listener<K>): () => void {
    requireEvent(name, Object.keys(this.hooks));
    requireArgument('on: listener', Hear, listener);
    const channel = this.channel(name);
    // One function may listen twice, and stop once.
    const heard: Listener<K> = (event) => listener(event);
    channel.listeners.add(heard);
    channel.remove ??= this.install(name, channel);
    return () => {
      channel.listeners.delete(heard);
      if (channel.listeners.size > 0) return;
      channel.remove?.();
      channel.remove = undefined;
    };
  }

  private channel(name: EventName): Channel {
    let channel = this.channels.get(name);
    if (channel === undefined) this.channels.set(name, (channel = { listeners: new Set(), remove: undefined }));
    return channel;
  }

  private install<K extends EventName>(name: K, { listeners }: Channel): () => void {
    return (this.hooks[name] as InstallHook<K>)((event) => {
      for (const listener of listeners) (listener as Listener<K>)(event);
    });
  }
}
