//! What pages say, language by language. Each text is HTML and holds nothing of a request.

use super::{Language, MODES, MODES_OF_CLICKS};

/// One language's texts.
pub(super) struct Texts {
    pub(super) title: &'static str,
    pub(super) opens_title: &'static str,
    /// By mode, in the order of the modes' numbers.
    pub(super) opens: [&'static str; MODES],
    pub(super) clicks_title: &'static str,
    pub(super) clicks: [&'static str; MODES_OF_CLICKS],
    pub(super) until_title: &'static str,
    pub(super) until: &'static str,
    pub(super) never_title: &'static str,
    pub(super) never: &'static str,
    pub(super) object_title: &'static str,
    pub(super) object_message: &'static str,
    pub(super) object_contact: &'static str,
    pub(super) nobody: &'static str,
    pub(super) button: &'static str,
    pub(super) holds: &'static str,
    pub(super) holds_for_message: &'static str,
    pub(super) holds_for_contact: &'static str,
}

impl Texts {
    pub(super) const fn of(language: Language) -> &'static Self {
        match language {
            Language::English => &ENGLISH,
            Language::German => &GERMAN,
            Language::French => &FRENCH,
            Language::Spanish => &SPANISH,
        }
    }
}

const ENGLISH: Texts = Texts {
    title: "What this mail records",
    opens_title: "When you open it",
    opens: [
        "Nothing is recorded.",
        "It is counted that somebody opened this mail, with the hour, the kind of device, \
         operating system and mail program and, where the sender keeps it, the country, each by \
         itself and for all its readers together. Everybody got the same: nobody can tell who it \
         was.",
        "It is counted that a mail was opened, with the hour, the kind of device, operating system \
         and mail program and, where the sender keeps it, the country, each by itself. This mail \
         has a random number, so that you are not counted twice. Who got which number is written \
         down nowhere.",
        "It is recorded that you opened this mail and when, with the kind of device, operating \
         system and mail program and, where the sender keeps it, the country, under a number that \
         stands for you with the sender.",
        "It is recorded on which day you last opened a mail of this sender, and nothing else: not \
         which mail, not when on that day, not how often, not with what device. The next opening \
         overwrites the day. It stands under a number that stands for you with the sender, and is \
         there so that the sender can stop writing to people who no longer read.",
    ],
    clicks_title: "When you follow its links",
    clicks: [
        "Nothing is recorded.",
        "It is counted that somebody followed a link, and which, with the hour, the kind of \
         device, operating system and mail program and, where the sender keeps it, the country, \
         each by itself and for all readers together. Everybody got the same links: nobody can \
         tell who it was.",
        "It is counted that a link was followed, and which, with the hour, the kind of device, \
         operating system and mail program and, where the sender keeps it, the country, each by \
         itself. This mail has a random number, so that you are not counted twice. Who got which \
         number is written down nowhere.",
        "It is recorded which links you followed and when, with the kind of device, operating \
         system and mail program and, where the sender keeps it, the country, under a number that \
         stands for you with the sender.",
    ],
    until_title: "Until when",
    until: "Until the last day that the sender set when this mail was sent. After that its links \
            go on working, and nothing is recorded.",
    never_title: "What is never recorded",
    never: "Your internet address, the full name of your program, cookies, and what you do after \
            you followed a link. Your internet address and program are looked at for a moment, to \
            tell people from machines, and then forgotten.",
    object_title: "Your objection",
    object_message: "You can object. From then on nothing of this mail is recorded, and its links \
                     go on working. Other mails have other numbers: to object to one of them, use \
                     the page that it links to.",
    object_contact: "You can object. From then on nothing is recorded of this mail, of others that \
                     this sender sent under your number, and of those that it will send you. Links \
                     go on working.",
    nobody: "Nobody in particular is recorded, so there is nobody whose recording could end.",
    button: "I object",
    holds: "Your objection holds",
    holds_for_message: "From now on nothing of this mail is recorded. Its links go on working.",
    holds_for_contact: "From now on nothing is recorded of this mail, of others that this sender \
                        sent under your number, and of those that it will send you. Links go on \
                        working.",
};

const GERMAN: Texts = Texts {
    title: "Was diese E-Mail aufzeichnet",
    opens_title: "Wenn Sie sie öffnen",
    opens: [
        "Nichts wird aufgezeichnet.",
        "Gezählt wird, dass jemand diese E-Mail geöffnet hat, mit der Stunde, der Art von Gerät, \
         Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, jedes für sich \
         und für alle Empfänger zusammen. Alle haben das Gleiche bekommen: Niemand kann sagen, wer \
         es war.",
        "Gezählt wird, dass eine E-Mail geöffnet wurde, mit der Stunde, der Art von Gerät, \
         Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, jedes für sich. \
         Diese E-Mail hat eine zufällige Nummer, damit Sie nicht doppelt gezählt werden. Wer \
         welche Nummer bekommen hat, steht nirgends.",
        "Aufgezeichnet wird, dass und wann Sie diese E-Mail geöffnet haben, mit der Art von Gerät, \
         Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, unter einer \
         Nummer, die beim Absender für Sie steht.",
        "Aufgezeichnet wird, an welchem Tag Sie zuletzt eine E-Mail dieses Absenders geöffnet \
         haben, und sonst nichts: nicht welche E-Mail, nicht wann an diesem Tag, nicht wie oft, \
         nicht mit welchem Gerät. Das nächste Öffnen überschreibt den Tag. Er steht unter einer \
         Nummer, die beim Absender für Sie steht, und ist dazu da, dass der Absender Menschen \
         nicht mehr schreibt, die nicht mehr lesen.",
    ],
    clicks_title: "Wenn Sie ihren Links folgen",
    clicks: [
        "Nichts wird aufgezeichnet.",
        "Gezählt wird, dass jemand einem Link gefolgt ist und welchem, mit der Stunde, der Art von \
         Gerät, Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, jedes \
         für sich und für alle Empfänger zusammen. Alle haben die gleichen Links bekommen: Niemand \
         kann sagen, wer es war.",
        "Gezählt wird, dass einem Link gefolgt wurde und welchem, mit der Stunde, der Art von \
         Gerät, Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, jedes \
         für sich. Diese E-Mail hat eine zufällige Nummer, damit Sie nicht doppelt gezählt werden. \
         Wer welche Nummer bekommen hat, steht nirgends.",
        "Aufgezeichnet wird, welchen Links Sie wann gefolgt sind, mit der Art von Gerät, \
         Betriebssystem und Mailprogramm und, wo der Absender es behält, dem Land, unter einer \
         Nummer, die beim Absender für Sie steht.",
    ],
    until_title: "Wie lange",
    until: "Bis zum letzten Tag, den der Absender beim Versand dieser E-Mail festgelegt hat. Danach \
            funktionieren ihre Links weiter, und nichts wird aufgezeichnet.",
    never_title: "Was nie aufgezeichnet wird",
    never: "Ihre Internetadresse, der volle Name Ihres Programms, Cookies, und was Sie tun, nachdem \
            Sie einem Link gefolgt sind. Internetadresse und Programm werden für einen Augenblick \
            angesehen, um Menschen von Maschinen zu unterscheiden, und dann vergessen.",
    object_title: "Ihr Widerspruch",
    object_message: "Sie können widersprechen. Von da an wird von dieser E-Mail nichts mehr \
                     aufgezeichnet, und ihre Links funktionieren weiter. Andere E-Mails haben \
                     andere Nummern: Um einer von ihnen zu widersprechen, benutzen Sie die Seite, \
                     auf die sie verweist.",
    object_contact: "Sie können widersprechen. Von da an wird nichts mehr aufgezeichnet: von dieser \
                     E-Mail nicht, von anderen nicht, die dieser Absender unter Ihrer Nummer \
                     verschickt hat, und von denen nicht, die er Ihnen noch schickt. Links \
                     funktionieren weiter.",
    nobody: "Niemand wird einzeln aufgezeichnet. Daher gibt es niemanden, dessen Aufzeichnung enden \
             könnte.",
    button: "Ich widerspreche",
    holds: "Ihr Widerspruch gilt",
    holds_for_message: "Von jetzt an wird von dieser E-Mail nichts mehr aufgezeichnet. Ihre Links \
                        funktionieren weiter.",
    holds_for_contact: "Von jetzt an wird nichts mehr aufgezeichnet: von dieser E-Mail nicht, von \
                        anderen nicht, die dieser Absender unter Ihrer Nummer verschickt hat, und \
                        von denen nicht, die er Ihnen noch schickt. Links funktionieren weiter.",
};

const FRENCH: Texts = Texts {
    title: "Ce que cet e-mail enregistre",
    opens_title: "Quand vous l’ouvrez",
    opens: [
        "Rien n’est enregistré.",
        "On compte que quelqu’un a ouvert cet e-mail, avec l’heure, le type d’appareil, de système \
         et de logiciel et, si l’expéditeur le conserve, le pays, chacun séparément et pour tous \
         les destinataires ensemble. Tous ont reçu la même chose : personne ne peut dire qui \
         c’était.",
        "On compte qu’un e-mail a été ouvert, avec l’heure, le type d’appareil, de système et de \
         logiciel et, si l’expéditeur le conserve, le pays, chacun séparément. Cet e-mail porte un \
         numéro aléatoire, pour que vous ne soyez pas compté deux fois. Qui a reçu quel numéro \
         n’est écrit nulle part.",
        "On enregistre que vous avez ouvert cet e-mail et quand, avec le type d’appareil, de \
         système et de logiciel et, si l’expéditeur le conserve, le pays, sous un numéro qui vous \
         désigne chez l’expéditeur.",
        "On enregistre le jour où vous avez ouvert pour la dernière fois un e-mail de cet \
         expéditeur, et rien d’autre : ni quel e-mail, ni à quel moment de ce jour, ni combien de \
         fois, ni avec quel appareil. L’ouverture suivante remplace ce jour. Il figure sous un \
         numéro qui vous désigne chez l’expéditeur et sert à ce que l’expéditeur cesse d’écrire à \
         ceux qui ne lisent plus.",
    ],
    clicks_title: "Quand vous suivez ses liens",
    clicks: [
        "Rien n’est enregistré.",
        "On compte que quelqu’un a suivi un lien, et lequel, avec l’heure, le type d’appareil, de \
         système et de logiciel et, si l’expéditeur le conserve, le pays, chacun séparément et \
         pour tous les destinataires ensemble. Tous ont reçu les mêmes liens : personne ne peut \
         dire qui c’était.",
        "On compte qu’un lien a été suivi, et lequel, avec l’heure, le type d’appareil, de système \
         et de logiciel et, si l’expéditeur le conserve, le pays, chacun séparément. Cet e-mail \
         porte un numéro aléatoire, pour que vous ne soyez pas compté deux fois. Qui a reçu quel \
         numéro n’est écrit nulle part.",
        "On enregistre quels liens vous avez suivis et quand, avec le type d’appareil, de système \
         et de logiciel et, si l’expéditeur le conserve, le pays, sous un numéro qui vous désigne \
         chez l’expéditeur.",
    ],
    until_title: "Jusqu’à quand",
    until: "Jusqu’au dernier jour que l’expéditeur a fixé à l’envoi de cet e-mail. Ensuite, ses \
            liens fonctionnent toujours et rien n’est enregistré.",
    never_title: "Ce qui n’est jamais enregistré",
    never: "Votre adresse Internet, le nom complet de votre logiciel, des cookies, et ce que vous \
            faites après avoir suivi un lien. L’adresse Internet et le logiciel sont regardés un \
            instant, pour distinguer les personnes des machines, puis oubliés.",
    object_title: "Votre opposition",
    object_message: "Vous pouvez vous opposer. Dès lors, plus rien de cet e-mail n’est enregistré, \
                     et ses liens fonctionnent toujours. D’autres e-mails portent d’autres \
                     numéros : pour vous opposer à l’un d’eux, utilisez la page vers laquelle il \
                     renvoie.",
    object_contact: "Vous pouvez vous opposer. Dès lors, plus rien n’est enregistré de cet e-mail, \
                     des autres que cet expéditeur a envoyés sous votre numéro, ni de ceux qu’il \
                     vous enverra. Les liens fonctionnent toujours.",
    nobody: "Personne n’est enregistré en particulier : il n’y a donc personne dont \
             l’enregistrement pourrait cesser.",
    button: "Je m’oppose",
    holds: "Votre opposition est prise en compte",
    holds_for_message: "Désormais, plus rien de cet e-mail n’est enregistré. Ses liens fonctionnent \
                        toujours.",
    holds_for_contact: "Désormais, plus rien n’est enregistré de cet e-mail, des autres que cet \
                        expéditeur a envoyés sous votre numéro, ni de ceux qu’il vous enverra. Les \
                        liens fonctionnent toujours.",
};

const SPANISH: Texts = Texts {
    title: "Qué registra este correo",
    opens_title: "Cuando lo abre",
    opens: [
        "No se registra nada.",
        "Se cuenta que alguien abrió este correo, con la hora, el tipo de dispositivo, de sistema \
         operativo y de programa y, si el remitente lo conserva, el país, cada cosa por separado y \
         para todos los destinatarios juntos. Todos recibieron lo mismo: nadie puede saber quién \
         fue.",
        "Se cuenta que se abrió un correo, con la hora, el tipo de dispositivo, de sistema \
         operativo y de programa y, si el remitente lo conserva, el país, cada cosa por separado. \
         Este correo lleva un número aleatorio, para que no se le cuente dos veces. Quién recibió \
         qué número no está escrito en ninguna parte.",
        "Se registra que usted abrió este correo y cuándo, con el tipo de dispositivo, de sistema \
         operativo y de programa y, si el remitente lo conserva, el país, bajo un número que lo \
         representa ante el remitente.",
        "Se registra qué día abrió usted por última vez un correo de este remitente, y nada más: \
         ni qué correo, ni a qué hora de ese día, ni cuántas veces, ni con qué dispositivo. La \
         siguiente apertura sustituye ese día. Consta bajo un número que lo representa ante el \
         remitente y sirve para que el remitente deje de escribir a quienes ya no leen.",
    ],
    clicks_title: "Cuando sigue sus enlaces",
    clicks: [
        "No se registra nada.",
        "Se cuenta que alguien siguió un enlace, y cuál, con la hora, el tipo de dispositivo, de \
         sistema operativo y de programa y, si el remitente lo conserva, el país, cada cosa por \
         separado y para todos los destinatarios juntos. Todos recibieron los mismos enlaces: \
         nadie puede saber quién fue.",
        "Se cuenta que se siguió un enlace, y cuál, con la hora, el tipo de dispositivo, de \
         sistema operativo y de programa y, si el remitente lo conserva, el país, cada cosa por \
         separado. Este correo lleva un número aleatorio, para que no se le cuente dos veces. \
         Quién recibió qué número no está escrito en ninguna parte.",
        "Se registra qué enlaces siguió usted y cuándo, con el tipo de dispositivo, de sistema \
         operativo y de programa y, si el remitente lo conserva, el país, bajo un número que lo \
         representa ante el remitente.",
    ],
    until_title: "Hasta cuándo",
    until: "Hasta el último día que el remitente fijó al enviar este correo. Después sus enlaces \
            siguen funcionando y no se registra nada.",
    never_title: "Qué no se registra nunca",
    never: "Su dirección de Internet, el nombre completo de su programa, cookies, y lo que hace \
            después de seguir un enlace. La dirección de Internet y el programa se miran un \
            momento, para distinguir personas de máquinas, y luego se olvidan.",
    object_title: "Su oposición",
    object_message: "Puede oponerse. Desde entonces no se registra nada más de este correo, y sus \
                     enlaces siguen funcionando. Otros correos llevan otros números: para oponerse \
                     a uno de ellos, use la página a la que enlaza.",
    object_contact: "Puede oponerse. Desde entonces no se registra nada más de este correo, de \
                     otros que este remitente envió bajo su número, ni de los que le envíe. Los \
                     enlaces siguen funcionando.",
    nobody: "No se registra a nadie en particular: por eso no hay nadie cuyo registro pueda \
             terminar.",
    button: "Me opongo",
    holds: "Su oposición es efectiva",
    holds_for_message: "Desde ahora no se registra nada más de este correo. Sus enlaces siguen \
                        funcionando.",
    holds_for_contact: "Desde ahora no se registra nada más de este correo, de otros que este \
                        remitente envió bajo su número, ni de los que le envíe. Los enlaces siguen \
                        funcionando.",
};
