"""Words for the generator: invented acts, places and bilingual topics. Every name is made up from these lists.

`KNOWN` topics are largely covered by the shipped lexicon; `OUTSIDE` topics are kept apart from it on purpose and tell
how the matcher fares with words nobody wrote down.
"""

from __future__ import annotations

FIRST = (
    "Amélie Béatrice Camille Delphine Élodie Florence Geneviève Hélène Isabelle Josée Karine Laurence Maude Noémie Océane "
    "Pénélope Rosalie Simone Thérèse Victoire Alexis Bastien Cédric Damien Étienne Félix Gaspard Hugo Ilyès Jérémie Kevin "
    "Ludovic Mathis Nathan Olivier Philémon Quentin Raphaël Samuel Théo Ulysse Vincent William Xavier Yannick Zacharie Aisha "
    "Bruno Chidi Dalia Emeka Fatou Goran Hana Idris Jun Kofi Leila Mei Nadia Omar Priya Rashid Soledad Tariq Uma Wanda Yuki Zora"
).split()
LAST = (
    "Archambault Beaulieu Charbonneau Desrosiers Émond Fréchette Gingras Hébert Isaksen Jutras Kirouac Lachapelle Marchildon "
    "Nadeau Ouellet Pinsonneault Quirion Robichaud Sansregret Thériault Vadeboncoeur Yelle Abernathy Blackwood Carmichael "
    "Dunmore Ellsworth Fairbanks Greaves Holloway Inglewood Jessop Kingsley Lockhart Merriweather Northcote Okafor Pemberton "
    "Quill Ravenscroft Stanhope Thornbury Underhill Vance Whitlock Yardley Adeyemi Bianchi Castellano Dimitrov Esposito Ferreira "
    "Guerrero Haddad Ivanov Jensen Kowalski Lindqvist Moreau Nakamura Oliveira Petrov Rossi Schneider Takahashi Usman Vasquez"
).split()
BAND_A = (
    "Velvet Hollow Crimson Paper Static Golden Broken Neon Silver Wooden Electric Distant Lonely Savage Gentle Marble Copper "
    "Foggy Restless Violet Plastic Sleepy Rusty Burning Frozen Tiny Midnight Northern Wandering Hidden Atomic Cosmic Lunar Royal"
).split()
BAND_B = (
    "Foxes Harbours Engines Lanterns Wolves Orchard Satellites Pilots Canyon Thieves Parade Mirrors Rivers Ghosts Gardeners "
    "Captains Telegraph Sparrows Machines Antlers Bicycles Comets Mountains Sailors Tigers Horizon Choir Magnets Poets Owls Kites"
).split()
BAND_FR = (
    "Les Castors volants;Les Tuques enragées;Marée Basse;Cordon Bleu Nuit;La Grande Ourse;Les Filles du Quai;Trottoir Mouillé;"
    "Chaise Berçante;Les Hirondelles de Fer;Poussière d'Automne;Le Vent du Large;Bottine et Fils;Rue des Érables;Les Moutons Roses;"
    "Dernier Métro;Les Oreilles Gelées;Café Sans Sucre;Bruit Blanc;Les Cousins Germains;Lune de Fiel;Pas de Panique;Soleil Couchant"
).split(";")
TOUR = (
    "World Tour;Tournée 2026;The Long Way Home Tour;Nouvel album;Acoustic;Live;20th Anniversary Tour;Tournée d'adieu;Unplugged;"
    "Le spectacle;One Night Only;Lancement d'album;Album Launch;Album Release Show;Dernière chance;Full Band;Rétrospective;En spectacle;Solo;The Lanterns Tour;Premier album"
).split(";")
PLAY = (
    ("Le Jardin des cendres", "The Garden of Ashes"), ("Les Trois Cousines", "The Three Cousins"), ("La Nuit des phares", "The Night of Lighthouses"),
    ("L'Homme de verre", "The Glass Man"), ("Une saison blanche", "A White Season"), ("Le Dernier Tramway", "The Last Streetcar"),
    ("Casse-Noisette", "The Nutcracker"), ("Le Lac des cygnes", "Swan Lake"), ("La Petite Sorcière", "The Little Witch"),
    ("Le Roi et la Lune", "The King and the Moon"), ("La Flûte enchantée", "The Magic Flute"), ("Le Songe d'une nuit d'été", "A Midsummer Night's Dream"),
    ("Les Ombres du fleuve", "Shadows of the River"), ("Contes d'hiver", "Winter Tales"), ("Le Cirque des étoiles", "The Circus of Stars"),
    ("La Maison bleue", "The Blue House"), ("Lettres à Rosalie", "Letters to Rosalie"), ("Le Procès de la baleine", "The Trial of the Whale"),
)  # fmt: skip
PLAY_HEAD = (
    ("Le Jardin", "The Garden"), ("La Maison", "The House"), ("Le Roi", "The King"), ("La Reine", "The Queen"), ("Le Voyage", "The Journey"),
    ("La Nuit", "The Night"), ("Le Secret", "The Secret"), ("Les Lettres", "The Letters"), ("La Légende", "The Legend"), ("Le Silence", "The Silence"),
    ("L'Ombre", "The Shadow"), ("Le Dernier Tramway", "The Last Streetcar"), ("La Chute", "The Fall"), ("Le Procès", "The Trial"),
    ("Les Cousines", "The Cousins"), ("Le Gardien", "The Keeper"), ("La Tempête", "The Storm"), ("Le Banquet", "The Feast"),
)  # fmt: skip
PLAY_TAIL = (
    ("des cendres", "of Ashes"), ("de verre", "of Glass"), ("du fleuve", "of the River"), ("des étoiles", "of the Stars"), ("d'hiver", "of Winter"),
    ("de Rosalie", "of Rosalie"), ("de la baleine", "of the Whale"), ("des loups", "of the Wolves"), ("sans retour", "of No Return"), ("du phare", "of the Lighthouse"),
    ("de sable", "of Sand"), ("des oiseaux", "of the Birds"), ("de Maître Anselme", "of Master Anselme"), ("des Laframboise", "of the Laframboises"),
)  # fmt: skip
TOPIC_KNOWN = (
    ("céramique", "ceramics"), ("poterie", "pottery"), ("aquarelle", "watercolour"), ("tricot", "knitting"), ("couture", "sewing"),
    ("photographie", "photography"), ("yoga", "yoga"), ("méditation", "meditation"), ("dessin", "drawing"), ("robotique", "robotics"),
    ("astronomie", "astronomy"), ("jardinage", "gardening"), ("cuisine japonaise", "Japanese cooking"), ("écriture créative", "creative writing"),
    ("bande dessinée", "comics"), ("salsa", "salsa"), ("tango", "tango"), ("chant choral", "choir singing"), ("guitare", "guitar"),
    ("marionnettes", "puppets"), ("calligraphie", "calligraphy"), ("origami", "origami"), ("échecs", "chess"), ("improvisation", "improv"),
    ("patrimoine", "heritage"), ("histoire locale", "local history"), ("intelligence artificielle", "artificial intelligence"),
    ("dégustation de vins", "wine tasting"), ("observation d'oiseaux", "bird watching"), ("jeux de société", "board games"),
    ("jeux vidéo", "video games"), ("premiers soins", "first aid"), ("réseautage", "networking"), ("poésie", "poetry"),
)  # fmt: skip
TOPIC_OUTSIDE = (
    # A test holds that the lexicon has none of them.
    ("fauconnerie", "falconry"), ("spéléologie", "caving"), ("mycologie", "mycology"), ("taxidermie", "taxidermy"),
    ("apnée", "freediving"), ("cornemuse", "bagpipes"), ("hydroponie", "hydroponics"), ("paléontologie", "palaeontology"),
    ("volcanologie", "volcanology"), ("kombucha", "kombucha"), ("horlogerie", "watchmaking"), ("héraldique", "heraldry"),
    ("numismatique", "numismatics"), ("marqueterie", "marquetry"), ("ferronnerie", "ironwork"), ("tonnellerie", "coopering"),
    ("clavecin", "harpsichord"), ("basson", "bassoon"), ("haltérophilie", "weightlifting"), ("aïkido", "aikido"),
    ("kendo", "kendo"), ("ikebana", "ikebana"), ("gemmologie", "gemmology"), ("entomologie", "entomology"),
    ("sténographie", "shorthand"), ("dorure", "gilding"), ("maréchalerie", "farriery"), ("parapente", "paragliding"),
    ("parachutisme", "skydiving"), ("sellerie", "saddlery"), ("pochoir", "stencilling"), ("orfèvrerie", "goldsmithing"),
    ("émaillage", "enamelling"), ("cithare", "zither"), ("coutellerie", "knifemaking"), ("guimauve", "marshmallow"),
    ("tourbière", "peatland"), ("cyanotype", "cyanotype"), ("holographie", "holography"), ("théorbe", "theorbo"),
)  # fmt: skip
TOPIC_STRANGE = (
    # For training: words that the lexicon does not hold either, and that are not in OUTSIDE.
    ("plongée sous-marine", "scuba diving"), ("chapellerie", "hat making"), ("vermicompostage", "worm composting"), ("cerf-volant", "kite flying"),
    ("forge", "blacksmithing"), ("mosaïque", "mosaics"), ("patchwork", "quilting"), ("marche nordique", "Nordic walking"), ("quilles", "bowling"),
    ("pétanque", "pétanque"), ("trapèze", "trapeze"), ("ukulélé", "ukulele"), ("bougies", "candle making"), ("drones", "drones"), ("géologie", "geology"),
    ("droit du logement", "tenant law"), ("cryptomonnaie", "cryptocurrency"), ("sommeil", "sleep"), ("ménopause", "menopause"), ("hockey sur gazon", "field hockey"),
    ("vélo de montagne", "mountain biking"), ("raquette", "snowshoeing"), ("fléchettes", "darts"), ("théorie musicale", "ear training"), ("ruches urbaines", "rooftop hives"),
    ("élagage", "pruning"), ("semis", "seedlings"), ("thérapie par l'art", "art therapy"), ("claquettes", "tap dancing"), ("ventriloquie", "ventriloquism"),
    ("tapisserie", "upholstery"), ("bijoux en argent", "silver jewellery"), ("moto", "motorcycling"), ("boxe", "boxing"), ("aquaforme", "aqua fitness"), ("stop motion", "stop motion"),
)  # fmt: skip
FRAME_STRANGE = (
    ("Le b.a.-ba : {x}", "{X} Basics"), ("{X} sans peine", "{X} Made Easy"), ("Parlons {x}", "Let's Talk {x}"), ("Un après-midi de {x}", "An Afternoon of {x}"),
    ("Quoi de neuf : {x}", "What's New: {x}"), ("Mardis gourmands : {x}", "Tasty Tuesdays: {x}"), ("Ruelle ouverte — {x}", "Back Alley {x}"), ("{X} : mode d'emploi", "How to: {x}"),
)  # fmt: skip
CHAIN_STRANGE = (
    ("Ronde des comptines", "Nursery Rhymes"), ("Pause parents-poussette", "Stroller Break"), ("Déclic techno", "Gadget Help"), ("Bricole ton lundi", "Make-it Monday"),
    ("Brico-biblio", "Craft Corner"), ("Tournoi de dards", "Darts League"), ("Marche des voisins", "Neighbours on Foot"),
)  # fmt: skip
PLAY_STRANGE = (
    ("Le Grincheux du hameau", "The Village Grump"), ("Mousson tardive", "Late Monsoon"), ("Les Échassiers", "The Stilt Walkers"), ("Corde raide", "Tightrope"),
    ("L'Ogrelet", "The Little Ogre"), ("Fracas", "Uproar"), ("La Mouette rieuse", "The Laughing Gull"), ("Les Fausses Confidences", "False Confessions"), ("Hameçon", "Fishhook"),
    ("Un tailleur pour dames", "A Ladies' Tailor"), ("La Cagnotte", "The Piggy Bank"), ("Le Bourru bienfaisant", "The Kindly Curmudgeon"),
)  # fmt: skip
ACTIVITY = (
    ("Atelier de {x}", "{X} Workshop"), ("Cours de {x} pour débutants", "{X} Class for Beginners"), ("Initiation : {x}", "Introduction to {x}"),
    ("Conférence sur {x}", "Lecture on {x}"), ("Soirée {x}", "{X} Night"), ("{X} en famille", "Family {x}"), ("{X} pour enfants", "{X} for Kids"),
    ("Club de {x}", "{X} Club"), ("Rencontre : {x}", "{X} Meetup"), ("Exposition : {x}", "{X} Exhibition"), ("Journée {x}", "{X} Day"),
    ("Les samedis {x}", "{X} Saturdays"), ("Café-causerie : {x}", "{X} Coffee Chat"), ("{X} au parc", "{X} in the Park"),
)  # fmt: skip
CHAIN = (
    ("Heure du conte", "Story Time"), ("Club de lecture", "Book Club"), ("Aide aux devoirs", "Homework Help"), ("Soirée de jeux", "Game Night"),
    ("Yoga doux", "Gentle Yoga"), ("Café tricot", "Knitting Café"), ("Conversation en français", "French Conversation"),
    ("Ciné-club", "Film Club"), ("Atelier d'écriture", "Writing Workshop"), ("Bébé lecteur", "Baby Reader"), ("Séance d'information", "Information Session"),
)  # fmt: skip
FRAMES_WITH = (
    ("Soirée d'humour avec {a}", "Comedy Night with {a}"), ("Jeudi jazz : {a}", "Jazz Thursday: {a}"), ("5 à 7 musical avec {a}", "Musical Happy Hour with {a}"),
    ("{a} en spectacle", "{a} Live"), ("Rencontre avec {a}", "Meet {a}"), ("Une soirée avec {a}", "An Evening with {a}"), ("Midi-concert : {a}", "Lunchtime Concert: {a}"),
    ("Concert intime : {a}", "Intimate Concert: {a}"), ("Ciné-concert : {a}", "Film Concert: {a}"), ("Les lundis de l'impro : {a}", "Improv Mondays: {a}"),
)  # fmt: skip
PUBLIC = (
    ("pour ados", "for Teens"), ("pour adultes", "for Adults"), ("pour enfants", "for Kids"), ("pour aînés", "for Seniors"), ("parents-enfants", "Parents and Kids"),
    ("avancé", "Advanced"), ("intermédiaire", "Intermediate"), ("en anglais", "in English"), ("en français", "in French"),
)  # fmt: skip
FESTIVAL = (
    ("Festival de jazz de {c}", "{C} Jazz Festival"), ("Festival des lumières", "Festival of Lights"), ("Fête de la musique", "Music Celebration"),
    ("Festival {p}", "{P} Festival"), ("Festival de folk {p}", "{P} Folk Festival"), ("Salon du livre de {c}", "{C} Book Fair"),
    ("Festival international de poésie", "International Poetry Festival"), ("Festival d'humour {p}", "{P} Comedy Festival"), ("Nuits {p}", "{P} Nights"),
)  # fmt: skip
VENUE_SORT = (
    ("Théâtre", "Theatre", "theatre"), ("Bibliothèque", "Library", "library"), ("Centre culturel", "Cultural Centre", "centre"), ("Salle", "Hall", "hall"),
    ("Bar", "Bar", "bar"), ("Café", "Café", "cafe"), ("Parc", "Park", "park"), ("Église", "Church", "church"), ("Maison de la culture", "House of Culture", "house"),
    ("Galerie", "Gallery", "gallery"), ("Musée", "Museum", "museum"), ("Centre communautaire", "Community Centre", "centre"), ("Cabaret", "Cabaret", "cabaret"),
    ("Auditorium", "Auditorium", "hall"), ("Studio", "Studio", "studio"), ("Cinéma", "Cinema", "cinema"),
)  # fmt: skip
VENUE_NAME = (
    "Bellerive;Saint-Ambroise;Mont-Rouge;des Érables;Laframboise;du Vieux-Quai;Wellington;Marie-Gérin;Crescendo;Kensington;Beaurivage;"
    "Saint-Éloi;de la Gare;Hamilton;Grand-Pré;L'Escalier;Outaouais;Jean-Talbot;Rivard;Piedmont;Les Cordes;Rialto;Fairmont;La Tulipe noire;"
    "Prospect;Saint-Fidèle;des Pionniers;Lafeuille;Monkland;Champfleury;Notre-Dame-des-Eaux;Pierre-Mercure;Ashgrove;Sainte-Brigide;Le Phare;"
    "Cartierville;Dunbar;Frontière;Gilford;Hochelet;Imperial;Jarry-Est;Kildare;Lionel;Marconi;Norwood;Ontario-Sud;Papineau-Nord;Querbes;"
    "Rosedale;Sherbourne;Trinity;Union;Verdier;Waverley;Ximénès;Youville;Zéphyr;Bordeleau;Clark;Duluth;Esplanade-Nord;Fullum;Garnier;Henri-Julien"
).split(";")
ROOM = ("Grande salle", "Salle B", "Studio 2", "Main Stage", "Petite salle", "Room 204")
STREET = (
    "Sainte-Catherine;Saint-Denis;Rachel;Beaubien;Laurier;Sherbrooke;Wellington;Notre-Dame;Masson;Ontario;Queen;King;Bloor;Dundas;College;"
    "Rideau;Bank;Elgin;Saint-Jean;Cartier;Maguire;Robson;Granville;Main;Hastings"
).split(";")
CITIES = (
    # name, English or other forms, zone, latitude, longitude, share
    ("Montréal", ("Montreal", "Montréal", "Montréal, QC", "MONTREAL", "Le Plateau-Mont-Royal"), "America/Toronto", 45.52, -73.58, 6),
    ("Québec", ("Quebec City", "Québec", "Ville de Québec"), "America/Toronto", 46.81, -71.22, 3),
    ("Toronto", ("Toronto", "Toronto, ON"), "America/Toronto", 43.66, -79.39, 3),
    ("Ottawa", ("Ottawa", "Ottawa, ON"), "America/Toronto", 45.42, -75.69, 2),
    ("Sherbrooke", ("Sherbrooke", "Sherbrooke, QC"), "America/Toronto", 45.40, -71.89, 1),
    ("Vancouver", ("Vancouver", "Vancouver, BC"), "America/Vancouver", 49.27, -123.12, 2),
)  # fmt: skip
STATUS = {
    "fr": (
        "ANNULÉ - {t}",
        "[COMPLET] {t}",
        "REPORTÉ : {t}",
        "{t} (Complet)",
        "{t} - SUPPLÉMENTAIRE",
        "GRATUIT | {t}",
        "Nouvelle date : {t}",
    ),
    "en": (
        "CANCELLED: {t}",
        "[SOLD OUT] {t}",
        "POSTPONED - {t}",
        "{t} (Sold Out)",
        "{t} - EXTRA SHOW",
        "FREE: {t}",
        "NEW DATE - {t}",
    ),
}
