/** The emoji that we offer, with the names under which they are found. Any other can be typed or pasted. */

const TABLE = `👍 thumbsup yes +1|👎 thumbsdown no -1|❤️ heart love|😂 joy laugh tears|🎉 tada party celebrate|🙏 pray thanks please|😮 wow open_mouth|😢 cry sad|🔥 fire hot|👀 eyes look|✅ check done white_check_mark|❌ x cross no
😀 grinning happy|😃 smiley|😄 smile|😁 grin|😆 laughing|😅 sweat_smile|🤣 rofl|🙂 slight_smile|🙃 upside_down|😉 wink|😊 blush|😇 innocent angel|🥰 smiling_hearts|😍 heart_eyes|😘 kiss|😋 yum|😜 wink_tongue|🤪 zany|🤗 hug|🤭 giggle|🤫 shush quiet|🤔 thinking hmm|🤨 raised_eyebrow|😐 neutral|😶 no_mouth|😏 smirk|🙄 eye_roll|😬 grimace|😌 relieved|😔 pensive|😴 sleeping|🤒 sick|🤯 mind_blown|🥳 partying|😎 cool sunglasses|🤓 nerd|🧐 monocle|😕 confused|😟 worried|🙁 frown|😳 flushed|🥺 pleading|😧 anguished|😨 fearful|😰 anxious|😭 sob|😱 scream|😖 confounded|😞 disappointed|😓 sweat|😩 weary|🥱 yawn|😤 huff|😡 rage angry|🤬 swearing|💀 skull|💩 poop|🤖 robot|👻 ghost
👋 wave hello bye|🤚 hand|✋ stop|👌 ok_hand|🤌 pinched|✌️ victory peace|🤞 crossed_fingers luck|🤟 love_you|🤘 rock|👈 left|👉 right|👆 up|👇 down|☝️ point|✊ fist|👊 punch|👏 clap|🙌 raised_hands hooray|🤝 handshake|💪 muscle strong|🧠 brain|👁️ eye|🫶 heart_hands|🤷 shrug|🤦 facepalm|💁 tipping_hand|🙋 raising_hand
🧡 orange_heart|💛 yellow_heart|💚 green_heart|💙 blue_heart|💜 purple_heart|🖤 black_heart|💔 broken_heart|💯 hundred|💥 boom|💫 dizzy|💦 splash|💤 zzz|✨ sparkles|⭐ star|🌟 glowing_star|⚡ zap lightning|☀️ sun|🌙 moon|🌈 rainbow|❄️ snow|☔ umbrella rain|🌊 ocean water
🐶 dog|🐱 cat|🐭 mouse|🦊 fox|🐻 bear|🐼 panda|🐸 frog|🐵 monkey|🦄 unicorn|🐝 bee|🐛 bug|🦋 butterfly|🐢 turtle|🐙 octopus|🐬 dolphin|🌸 blossom|🌹 rose|🌻 sunflower|🌲 tree|🍀 clover
🍎 apple|🍌 banana|🍓 strawberry|🍕 pizza|🍔 burger|🍟 fries|🌮 taco|🍣 sushi|🍪 cookie|🎂 cake birthday|🍫 chocolate|☕ coffee|🍵 tea|🍺 beer|🍻 cheers|🍷 wine|🥂 clinking
⚽ soccer football|🏀 basketball|🎾 tennis|🏆 trophy|🥇 gold first|🎯 dart target|🎮 game|🎲 dice|🎸 guitar|🎵 music note|🎬 movie|🎨 art|🚀 rocket ship|✈️ plane|🚗 car|🚲 bike|🚂 train|🏠 home house|🏖️ beach|🌍 world earth
⌚ watch|📱 phone|💻 laptop computer|⌨️ keyboard|💡 idea bulb|🔋 battery|🔌 plug|📷 camera|📅 calendar|📌 pushpin pin|📎 paperclip|📝 memo note|📄 page|📊 chart|📈 up_chart|📉 down_chart|🔍 search mag|🔒 lock|🔓 unlock|🔑 key|🔨 hammer|🛠️ tools|⚙️ gear|🧪 test tube|💰 money|🎁 gift|🎈 balloon|📣 mega announce|🔔 bell|🔕 no_bell|⏰ alarm|⏳ hourglass|🚧 construction|⚠️ warning|🚨 alert siren|❓ question|❗ exclamation|➕ plus|➖ minus|♻️ recycle|🆗 ok|🔴 red|🟡 yellow|🟢 green|🔵 blue`;

/** @type {{emoji: string, names: string[]}[]} */
export const EMOJI = TABLE.split(/[|\n]/).map((row) => {
  const [emoji, ...names] = row.split(" ");
  return { emoji, names };
});

export const QUICK = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

/** Emoji whose name begins like this, then those that contain it. */
export function findEmoji(query, limit = 8) {
  const word = query.toLowerCase();
  const begins = EMOJI.filter((one) => one.names.some((name) => name.startsWith(word)));
  const within = EMOJI.filter((one) => !begins.includes(one) && one.names.some((name) => name.includes(word)));
  return [...begins, ...within].slice(0, limit);
}

export const nameOfEmoji = (emoji) => EMOJI.find((one) => one.emoji === emoji)?.names[0].replaceAll("_", " ") ?? emoji;
